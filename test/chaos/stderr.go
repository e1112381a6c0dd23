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

// The ways to lose the reader of a process's standard error.
const (
	readerGone  = "reader goes away"
	readerStops = "reader stops reading"
)

// commitsUnread counts a process's commits after that.
const commitsUnread = "commits without a reader"

// listen sets up a pipe for the standard error of a process whose reader is lost at a
// random moment. The caller must call started after starting the process, and ended
// after it has ended.
func (p *process) listen(cmd *exec.Cmd, rng *rand.Rand) (started, ended func(), err error) {
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
		if _, err := io.Copy(p.log, reader); !errors.Is(err, os.ErrDeadlineExceeded) {
			return // the process has ended
		}
		if how == readerGone {
			_ = reader.Close() // nothing was written to it
		}
		p.unread.Store(true)
		p.log.tally.add("stderr", how)
	}()
	started = func() { _ = writer.Close() } // the process has its own copy
	ended = func() {
		<-copied
		_ = reader.Close() // possibly a second time
		p.unread.Store(false)
	}
	return started, ended, nil
}

// judgeEnd checks how a process ended: only SIGKILL may end a daemon that was not told
// to stop, and a lost reader must end nothing.
func (p *process) judgeEnd(state *os.ProcessState) {
	if p.over != nil {
		p.over(state)
	}
	if !endedWell(state.Sys().(syscall.WaitStatus), p.daemon, p.told.Load()) {
		what := fmt.Sprintf("%s ended by itself: %s; its log ends with:\n%s", p.name, state, p.log.tail())
		p.findings = append(p.findings, finding{at: time.Now(), what: what})
	}
}

func endedWell(status syscall.WaitStatus, daemon, told bool) bool {
	switch {
	case status.Signaled(): // SIGTERM before the program handles it
		return status.Signal() == syscall.SIGKILL || told && status.Signal() == syscall.SIGTERM
	case daemon && !told:
		return false
	}
	return status.ExitStatus() != exitUnread
}

// exitUnread is the program's exit status when the reader of its output has gone.
const exitUnread = 141
