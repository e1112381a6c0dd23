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

	"golang.org/x/term"
)

// surviveBrokenPipes makes a write to a pipe without a reader fail, instead of ending
// the program: a journal or pager that goes away must not leave rotations
// half-finished. Child processes start with the signal's default action.
func surviveBrokenPipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// dieOfBrokenPipe ends the program by SIGPIPE, as usual for a program whose report has
// no reader, unless that signal is ignored.
func dieOfBrokenPipe() {
	signal.Reset(syscall.SIGPIPE)
	_, _ = os.Stdout.Write([]byte("\n"))
}

// standardOutput is where reports go. It remembers that its reader has gone, as in
// `status | head`: that is no error to report.
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

// Fd lets callers check for a terminal.
func (r *standardOutput) Fd() uintptr { return r.file.Fd() }

const (
	// maxUnwritten is how many log lines are queued for a slow reader.
	maxUnwritten = 4096
	// flushPatience is how long the end of the program waits for that reader.
	flushPatience = 2 * time.Second
)

var errDropped = errors.New("dropped: the reader of standard error does not read")

// standardError is written by its own goroutine: a run that holds claims must not wait
// for a slow reader. Lines that do not fit are dropped and counted.
type standardError struct {
	file   *os.File
	jobs   chan func() error
	done   chan struct{} // closed by close
	lost   atomic.Int64
	onLost atomic.Pointer[func(n int64)] // called with the number of dropped lines, once there is room again
	failed atomic.Pointer[error]         // first failed write since the last flush
}

// newStandardError returns a writer to the file. The caller must close it.
func newStandardError(file *os.File) *standardError {
	s := &standardError{file: file, jobs: make(chan func() error, maxUnwritten), done: make(chan struct{})}
	go func() {
		for {
			select {
			case job := <-s.jobs:
				if err := job(); err != nil {
					s.failed.Store(&err)
				}
				s.reportLost()
			case <-s.done:
				return
			}
		}
	}()
	return s
}

func (s *standardError) reportLost() {
	if len(s.jobs) > 0 {
		return // the reader is still behind
	}
	if n, tell := s.lost.Swap(0), s.onLost.Load(); n > 0 && tell != nil {
		(*tell)(n)
	}
}

// enqueue queues a write, and drops it if too many wait. flush returns its error.
func (s *standardError) enqueue(write func() error) {
	select {
	case s.jobs <- write:
	default:
		s.lost.Add(1)
		s.failed.Store(&errDropped)
	}
}

// Write implements [io.Writer]. It never fails; flush returns errors.
func (s *standardError) Write(p []byte) (int, error) {
	line := bytes.Clone(p)
	s.enqueue(func() error {
		_, err := s.file.Write(line)
		return err
	})
	return len(p), nil
}

// Fd lets callers check for a terminal or the journal.
func (s *standardError) Fd() uintptr { return s.file.Fd() }

// flush waits, for a limited time, until everything is written, and returns the first
// error since the last flush.
func (s *standardError) flush() error {
	patience := time.NewTimer(flushPatience)
	defer patience.Stop()
	for range 2 { // a job may have queued another one, see journalCore
		written := make(chan struct{})
		select {
		case s.jobs <- func() error { close(written); return nil }:
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

// close writes the rest.
func (s *standardError) close() {
	_ = s.flush() // there is no place left to report it
	close(s.done)
}

// descriptor is -1 for what is no file.
func descriptor(w io.Writer) int {
	if file, isFile := w.(interface{ Fd() uintptr }); isFile {
		return int(file.Fd())
	}
	return -1
}

func isTerminal(w io.Writer) bool { return term.IsTerminal(descriptor(w)) }

// flush waits for a writer that writes asynchronously.
func flush(w io.Writer) error {
	if later, isLater := w.(interface{ flush() error }); isLater {
		return later.flush()
	}
	return nil
}
