package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// startOn starts the program with standard output and error chosen by the test; nil
// means the usual ones.
func (s *site) startOn(t *testing.T, stdout, stderr *os.File, args ...string) *program {
	t.Helper()
	p := &program{ended: make(chan struct{})}
	p.cmd = exec.Command(s.binary, append(args, "--config", s.configFile())...)
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	if stderr != nil {
		p.cmd.Stderr = stderr
	}
	s.launch(t, p)
	return p
}

// unread is a pipe whose reader has gone.
func unread(t *testing.T) *os.File {
	t.Helper()
	reader, writer, err := os.Pipe()
	must(t, err)
	must(t, reader.Close())
	t.Cleanup(func() { writer.Close() })
	return writer
}

// stalled is a pipe whose reader exists and does not read; a page fills it.
func stalled(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	must(t, err)
	_, err = unix.FcntlInt(writer.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize())
	must(t, err)
	must(t, syscall.SetNonblock(int(writer.Fd()), false)) // Fd has made it blocking; the child gets the same description
	t.Cleanup(func() { reader.Close(); writer.Close() })
	return reader, writer
}

func noSpace(t *testing.T) *os.File {
	t.Helper()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	must(t, err)
	t.Cleanup(func() { full.Close() })
	return full
}

// withoutReader are the ways in which output has no reader.
var withoutReader = map[string]func(*testing.T) *os.File{
	"gone":      unread,
	"full disk": noSpace,
	"stalled":   func(t *testing.T) *os.File { _, writer := stalled(t); return writer },
}

func TestARunGoesOnWithoutTheReaderOfItsLog(t *testing.T) {
	for name, stderr := range withoutReader {
		t.Run(name, func(t *testing.T) {
			s := newTestSite(t)
			all := make([]*tenant, 12)
			for i := range all {
				all[i] = s.mustSeed(t, fmt.Sprintf("t%d", i), "age=400")
			}
			must(t, s.writeConfig(never, noJitter, "log.level=debug"))

			s.startOn(t, nil, stderr(t), "--run-now").mustEnd(t, exitDone)

			for _, one := range all {
				must(t, s.rotated(t.Context(), one))
			}
		})
	}
}

func TestADaemonGoesOnWithoutTheReaderOfItsLog(t *testing.T) {
	for name, stderr := range withoutReader {
		t.Run(name, func(t *testing.T) {
			s := newTestSite(t)
			first := s.mustSeed(t, "first", "age=400")
			must(t, s.writeConfig(everySecond, noJitter, "log.level=debug"))

			daemon := s.startOn(t, nil, stderr(t))
			await(t, "a rotation", func() error { return s.rotated(t.Context(), first) })
			second := s.mustSeed(t, "second", "age=400")
			await(t, "another rotation", func() error { return s.rotated(t.Context(), second) })

			daemon.signal(t, syscall.SIGTERM)
			daemon.mustEnd(t, exitDone)
		})
	}
}

func TestCommandsGoOnWithoutTheReaderOfTheirLog(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "acme", "age=1")
	must(t, s.writeConfig(never, noJitter, "log.level=debug"))

	for _, command := range []string{"verify", "status", "doctor"} {
		run := s.startOn(t, nil, unread(t), command)
		run.mustEnd(t, exitDone)
		if run.stdout.String() == "" {
			t.Errorf("%s printed nothing", command)
		}
	}
}

// The report's reader has gone, as in `status | head`: that is no failure.
func TestAReportThatNobodyReadsEndsQuietly(t *testing.T) {
	s := newTestSite(t)
	acme := s.mustSeed(t, "acme", "age=400")
	must(t, s.writeConfig(never, noJitter, "log.level=error"))

	for _, command := range []string{"status", "verify", "--run-now", "version", "policy", "doctor"} {
		run := s.startOn(t, unread(t), nil, command)
		run.mustEnd(t, -1) // by a signal
		if signal := run.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(); signal != syscall.SIGPIPE {
			t.Errorf("%s ended by %s", command, signal)
		}
		if printed := run.stderr.String(); printed != "" {
			t.Errorf("%s complains: %s", command, printed)
		}
	}
	must(t, s.rotated(t.Context(), acme))
}

func TestAReportOnAFullDiskIsAnError(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "acme", "age=1")
	must(t, s.writeConfig(never, noJitter))

	run := s.startOn(t, noSpace(t), nil, "status")

	run.mustEnd(t, exitCannotRun)
	if printed := run.stderr.String(); !strings.Contains(printed, "no space left") {
		t.Errorf("it says %q", printed)
	}
}

func TestLogLinesAreWrittenInOrderAndToTheEnd(t *testing.T) {
	reader, writer, err := os.Pipe()
	must(t, err)
	s := newStandardError(writer)
	for i := range 1000 {
		fmt.Fprintf(s, "%d\n", i)
	}
	go func() { s.close(); writer.Close() }()

	text, err := io.ReadAll(reader)

	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 1000 || lines[0] != "0" || lines[999] != "999" {
		t.Errorf("%d lines, from %s to %s", len(lines), lines[0], lines[len(lines)-1])
	}
}

func TestDroppedLogLinesAreCountedOnceThereIsRoom(t *testing.T) {
	reader, writer := stalled(t)
	s := newStandardError(writer)
	defer s.close()
	told := make(chan int64, 10)
	tell := func(n int64) { told <- n }
	s.onLost.Store(&tell)
	line := strings.Repeat("x", os.Getpagesize())

	const written = maxUnwritten + 100
	for range written {
		fmt.Fprintln(s, line)
	}
	if err := s.flush(); err == nil {
		t.Error("flush took dropped lines for written ones")
	}
	go func() { _, _ = io.Copy(io.Discard, reader) }()

	select {
	case n := <-told:
		if n < 90 || n > 100 { // some were in flight
			t.Errorf("%d were dropped", n)
		}
	case <-time.After(patience):
		t.Error("nobody was told")
	}
}

func TestFlushTellsWhatCouldNotBeWritten(t *testing.T) {
	s := newStandardError(unread(t))
	defer s.close()
	surviveBrokenPipes()

	_, err := s.Write([]byte("lost"))

	if flushed := flush(&progress{out: s}); err != nil || !errors.Is(flushed, syscall.EPIPE) {
		t.Errorf("write %v, flush %v", err, flushed)
	}
	if err := s.flush(); err != nil {
		t.Errorf("told twice: %v", err)
	}
}
