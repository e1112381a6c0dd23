package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// surviveBrokenPipes makes a write to a pipe that nobody reads fail, where Go would
// end the program: a journal or pager that goes away must not leave rotations
// half-finished. Children begin with the signal's default action.
func surviveBrokenPipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// dieOfBrokenPipe ends the program as one ends whose report nobody reads: by the
// signal, unless that is ignored.
func dieOfBrokenPipe() {
	signal.Reset(syscall.SIGPIPE)
	_, _ = os.Stdout.Write([]byte("\n"))
}

// standardOutput is where reports go. It remembers that its reader has gone, as in
// `status | head`: that is no error to speak of.
type standardOutput struct {
	file *os.File
	gone bool
}

// Write implements [io.Writer].
func (r *standardOutput) Write(p []byte) (int, error) {
	n, err := r.file.Write(p)
	r.gone = r.gone || errors.Is(err, syscall.EPIPE)
	return n, err
}

// Fd tells whether it is a terminal.
func (r *standardOutput) Fd() uintptr { return r.file.Fd() }

const (
	// maxUnwritten is how many log lines wait for a reader that does not read.
	maxUnwritten = 4096
	// flushPatience is how long the end of the program waits for that reader.
	flushPatience = 2 * time.Second
)

var errDropped = errors.New("dropped: the reader of standard error does not read")

// standardError is written by a goroutine of its own: a run that has claims must not
// wait for a reader that does not read. What does not fit is dropped and counted.
type standardError struct {
	file   *os.File
	jobs   chan func()
	done   chan struct{} // closed by close
	lost   atomic.Int64
	onLost atomic.Pointer[func(n int64)] // told of what was dropped, once there is room again
	failed atomic.Pointer[error]         // of a write since the last flush
}

// newStandardError returns a writer to the file. The caller closes it.
func newStandardError(file *os.File) *standardError {
	s := &standardError{file: file, jobs: make(chan func(), maxUnwritten), done: make(chan struct{})}
	go func() {
		for {
			select {
			case job := <-s.jobs:
				job()
				s.tellLost()
			case <-s.done:
				return
			}
		}
	}()
	return s
}

func (s *standardError) tellLost() {
	if len(s.jobs) > 0 {
		return // the reader is still behind
	}
	if n, tell := s.lost.Swap(0), s.onLost.Load(); n > 0 && tell != nil {
		(*tell)(n)
	}
}

// do does the job after those before it, and drops it where too many wait.
func (s *standardError) do(job func()) {
	select {
	case s.jobs <- job:
	default:
		s.lost.Add(1)
		s.failed.Store(&errDropped)
	}
}

// later is do for what may fail: flush says so.
func (s *standardError) later(write func() error) {
	s.do(func() {
		if err := write(); err != nil {
			s.failed.Store(&err)
		}
	})
}

// Write implements [io.Writer]. It never fails; flush says what has.
func (s *standardError) Write(p []byte) (int, error) {
	line := bytes.Clone(p)
	s.later(func() error {
		_, err := s.file.Write(line)
		return err
	})
	return len(p), nil
}

// Fd tells whether it is a terminal, or the journal.
func (s *standardError) Fd() uintptr { return s.file.Fd() }

// flush waits until all is written, though not for ever, and returns why something
// since the last flush was not.
func (s *standardError) flush() error {
	patience := time.NewTimer(flushPatience)
	defer patience.Stop()
	for range 2 { // a job may have left another one, see journalCore
		written := make(chan struct{})
		select {
		case s.jobs <- func() { close(written) }:
		case <-patience.C:
			return os.ErrDeadlineExceeded
		}
		select {
		case <-written:
		case <-patience.C:
			return os.ErrDeadlineExceeded
		}
	}
	if err := s.failed.Swap(nil); err != nil {
		return *err
	}
	return nil
}

// close writes what is left.
func (s *standardError) close() {
	_ = s.flush() // there is nobody left to tell
	close(s.done)
}

// flush waits for what writes later than it is told to.
func flush(w io.Writer) error {
	if later, isLater := w.(interface{ flush() error }); isLater {
		return later.flush()
	}
	return nil
}
