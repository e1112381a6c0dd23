package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// The ways in which the reader of a process's standard error is lost.
const (
	readerGone  = "reader goes away"
	readerStops = "reader stops reading"
)

// commitsUnread counts what a process got done after that.
const commitsUnread = "commits without a reader"

// listen sets up a pipe for the standard error of a process whose reader is lost at
// a random moment. The caller calls started when the process has been started, and
// ended when it has ended.
func (s *slot) listen(cmd *exec.Cmd, rng *rand.Rand) (started, ended func(), err error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	if err := reader.SetReadDeadline(time.Now().Add(between(rng, 0, 3*time.Second))); err != nil {
		return nil, nil, errors.Join(err, reader.Close(), writer.Close())
	}
	how := readerStops
	if rng.IntN(2) == 0 {
		how = readerGone
	}
	cmd.Stderr = writer
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		if _, err := io.Copy(s.log, reader); !errors.Is(err, os.ErrDeadlineExceeded) {
			return // the process has ended
		}
		if how == readerGone {
			_ = reader.Close() // nothing was written to it
		}
		s.unread.Store(true)
		s.log.tally.add("stderr", how)
	}()
	started = func() { _ = writer.Close() } // the process has its own
	ended = func() {
		<-copied
		_ = reader.Close() // a second time, perhaps
		s.unread.Store(false)
	}
	return started, ended, nil
}

// judgeEnd looks at how a process ended: only SIGKILL ends a daemon that was not
// told to end, and no lost reader ends anything.
func (s *slot) judgeEnd(state *os.ProcessState) {
	if !endedWell(state.Sys().(syscall.WaitStatus), s.daemon, s.told.Load()) {
		what := fmt.Sprintf("%s ended by itself: %s; its log ends with:\n%s", s.name, state, s.log.tail())
		s.findings = append(s.findings, finding{at: time.Now(), what: what})
	}
}

func endedWell(status syscall.WaitStatus, daemon, told bool) bool {
	switch {
	case status.Signaled(): // SIGTERM ends what does not yet handle it
		return status.Signal() == syscall.SIGKILL || told && status.Signal() == syscall.SIGTERM
	case daemon && !told:
		return false
	}
	return status.ExitStatus() != exitUnread
}

// exitUnread is the program's exit status where the reader of its output is gone.
const exitUnread = 141
