package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"mailu-rotator/rotator"
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

func (r *standardOutput) Write(p []byte) (int, error) {
	n, err := r.file.Write(p)
	r.gone = r.gone || errors.Is(err, syscall.EPIPE)
	return n, err
}

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

// The caller must close it.
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
func descriptor(stream any) int {
	if file, isFile := stream.(interface{ Fd() uintptr }); isFile {
		return int(file.Fd())
	}
	return -1
}

func isTerminal(stream any) bool { return term.IsTerminal(descriptor(stream)) }

// flush waits for a writer that writes asynchronously.
func flush(w io.Writer) error {
	if later, isLater := w.(interface{ flush() error }); isLater {
		return later.flush()
	}
	return nil
}

// progress is a bar with counts, rate and time left, if its output is a terminal. Log
// lines go through it, so that they do not run into the bar.
type progress struct {
	mu   sync.Mutex
	out  io.Writer
	none bool                     // no bar is wanted
	bar  *progressbar.ProgressBar // nil until the plan is known
}

func newProgress(out io.Writer, none bool) *progress { return &progress{out: out, none: none} }

func (p *progress) Fd() uintptr { return uintptr(descriptor(p.out)) }

func (p *progress) flush() error { return flush(p.out) }

func (p *progress) observe(e rotator.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Name {
	case rotator.SweepPlanned:
		p.begin("rotating", e.Count)
	case rotator.AdditionPlanned:
		p.begin("adding", e.Count)
	case rotator.ResealPlanned:
		p.begin("resealing", e.Count)
	case rotator.VerificationPlanned:
		p.begin("verifying", e.Count)
	case rotator.TenantDone, rotator.TenantReported, rotator.TenantVerified:
		if p.bar != nil {
			_ = p.bar.Add(1)
		}
	}
}

// begin shows the bar. The caller holds the lock.
func (p *progress) begin(doing string, count int) {
	if count == 0 || p.none || !isTerminal(p) {
		return
	}
	p.bar = progressbar.NewOptions(count,
		progressbar.OptionSetWriter(p.out),
		progressbar.OptionSetDescription(doing),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("tenants"),
		progressbar.OptionSetPredictTime(true), progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish())
	_ = p.bar.RenderBlank() // an unwritable terminal changes nothing
}

// Write puts a log line above the bar.
func (p *progress) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil || p.bar.IsFinished() {
		return p.out.Write(line)
	}
	_ = p.bar.Clear()
	n, err := p.out.Write(line)
	_ = p.bar.RenderBlank()
	return n, err
}

func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Finish()
		p.bar = nil
	}
}
