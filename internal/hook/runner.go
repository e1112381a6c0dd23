// Package hook runs an operator's programs after events: after a password was replaced,
// when a tenant or a run failed, after a run. Each program gets the event as one JSON
// [Document] on its standard input, never a secret.
//
// It promises:
//
//   - a hook never delays or fails a run: [Runner.Observe] only queues, in
//     bounded memory, and drops and counts what does not fit;
//   - hooks run one at a time, in the order of the events, so that their authors
//     need not handle concurrency;
//   - no shell is involved, and a program inherits nothing of this process's
//     environment, which may hold a token: see [Runner] for what it gets;
//   - at its time limit, and at its end, every process of its group is killed.
//
// The programs are as trusted as this one: they run as the same user. The package
// imports only rotator and knows neither logs nor configuration.
package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"mailu-rotator/internal/text"
	"mailu-rotator/rotator"
)

// The queue's bounds, in hooks. A night in which a fleet of 10,000 tenants fails fits,
// at less than a kilobyte each. Runs have room of their own, so that the run that
// reports the number of drops is not dropped itself.
const (
	maxQueued   = 10_000
	roomForRuns = 16
)

// Settings say which programs run and who receives their results.
type Settings struct {
	Programs map[Name][]string // the program's absolute path and its arguments; a missing one is not run
	Timeout  time.Duration     // of one program, more than 0
	// Check returns an error if a program must not be run. It is called each time,
	// because the file may have changed. It may be nil.
	Check func(path string) error
	// Report receives each program's result, from one goroutine. It may be nil.
	Report func(Result)
}

// Result is how a program ended.
type Result struct {
	Hook    Name
	Tenant  string
	User    string
	Program string
	Took    time.Duration
	Output  string // the beginning of what it printed, made printable
	// Err is the reason for a failure: exit status, time limit, or [ErrDropped].
	Err     error
	Dropped int // with ErrDropped: how many
}

// ErrDropped means that hooks were not run: the queue was full, or the daemon had to
// stop.
var ErrDropped = errors.New("hooks not run: those before them took too long")

// Runner runs the programs of hooks. Each gets its document as standard input, PATH and
// MAILU_ROTATOR_HOOK (its [Name]) as its whole environment, the root directory as its
// working directory and its own process group.
type Runner struct {
	clock  rotator.Clock
	cancel context.CancelFunc
	ended  chan struct{}

	mu       sync.Mutex // guards the fields below
	changed  sync.Cond  // signals changes of the queue and of closed
	settings Settings
	tally    tally
	queue    []job
	dropped  int // not yet reported
	lost     int // not yet in an after_run document
	closed   bool
}

// job is one program to run, with the settings at the time of its event.
type job struct {
	Settings
	hook     Name
	tenant   string
	user     string
	argv     []string
	document []byte
}

// Start returns a running Runner. Its owner must call [Runner.Close].
func Start(clock rotator.Clock, settings Settings) *Runner {
	ctx, cancel := context.WithCancel(context.Background())
	r := newRunner(clock, settings)
	r.cancel = cancel
	go func() {
		defer close(r.ended)
		for r.one(ctx) {
		}
	}()
	return r
}

func newRunner(clock rotator.Clock, settings Settings) *Runner {
	r := &Runner{clock: clock, ended: make(chan struct{}), settings: settings.clone(), tally: tally{refused: map[rotator.Task]bool{}}}
	r.changed.L = &r.mu
	return r
}

// Reload replaces the settings, from the next event on.
func (r *Runner) Reload(settings Settings) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settings = settings.clone()
}

func (s Settings) clone() Settings {
	s.Programs = maps.Clone(s.Programs)
	if s.Check == nil {
		s.Check = func(string) error { return nil }
	}
	if s.Report == nil {
		s.Report = func(Result) {}
	}
	return s
}

// Observe is a [rotator.Observer]: it queues the event's hook, if it has one.
func (r *Runner) Observe(e rotator.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	news, hook := r.tally.count(e, now), hookOf(e)
	argv := r.settings.Programs[hook]
	if !news || hook == "" || len(argv) == 0 || r.closed {
		return
	}
	room := maxQueued
	document := newDocument(hook, e, now)
	if hook == AfterRun {
		room += roomForRuns
		run := r.tally.Run
		run.Dropped = r.lost
		document.Run = &run
	}
	if len(r.queue) >= room {
		r.dropped++
		r.lost++
		return
	}
	if hook == AfterRun {
		r.lost = 0
	}
	r.queue = append(r.queue, job{r.settings, hook, e.Tenant, e.User, argv, document.encode()})
	r.changed.Signal()
}

// one runs the next program and reports it; it returns false when the runner is closed
// and the queue empty.
func (r *Runner) one(ctx context.Context) bool {
	j, dropped, ok := r.next(ctx)
	if dropped > 0 {
		j.Report(Result{Err: ErrDropped, Dropped: dropped})
	}
	if !ok {
		return false
	}
	start := r.clock.Now()
	output, err := j.run(ctx)
	j.Report(Result{Hook: j.hook, Tenant: j.tenant, User: j.user, Program: j.argv[0], Took: r.clock.Now().Sub(start), Output: output, Err: err})
	return true
}

// next waits for a job. It also returns the number of drops since the last call.
func (r *Runner) next(ctx context.Context) (j job, dropped int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) == 0 && !r.closed {
		r.changed.Wait()
	}
	if ctx.Err() != nil {
		r.dropped += len(r.queue)
		r.queue = nil
	}
	dropped, r.dropped = r.dropped, 0
	if len(r.queue) == 0 {
		return job{Settings: r.settings}, dropped, false
	}
	j, r.queue = r.queue[0], r.queue[1:]
	return j, dropped, true
}

// Close accepts no more events and returns when the queue is empty. If ctx ends first,
// it kills the running program, and drops and reports the rest.
func (r *Runner) Close(ctx context.Context) {
	r.mu.Lock()
	r.closed = true
	r.changed.Broadcast()
	r.mu.Unlock()
	select {
	case <-r.ended:
	case <-ctx.Done():
	}
	r.cancel()
	<-r.ended
}

const (
	// searchPath is the PATH that a script may expect on any host.
	searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	maxOutput  = 4 << 10 // bytes of output that are kept; the rest is read and thrown away
	// waitDelay is how long to wait for output after the program has ended or was
	// killed: another process may hold the pipe open.
	waitDelay = time.Second
)

// run runs the program until it ends or its time limit passes.
func (j job) run(ctx context.Context) (output string, err error) {
	if err := j.Check(j.argv[0]); err != nil {
		return "", fmt.Errorf("not run: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, j.Timeout)
	defer cancel()
	var printed limitedBuffer
	cmd := exec.CommandContext(limited, j.argv[0], j.argv[1:]...)
	cmd.Env = []string{"PATH=" + searchPath, "MAILU_ROTATOR_HOOK=" + string(j.hook)}
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(j.document), &printed, &printed
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd) }
	cmd.WaitDelay = waitDelay
	err = cmd.Run()
	if cmd.Process != nil {
		// Background processes of the hook would otherwise outlive it and pile up.
		_ = killGroup(cmd) // usually the group no longer exists
	}
	switch {
	case errors.Is(err, exec.ErrWaitDelay): // the program itself succeeded
		err = nil
	case err != nil && ctx.Err() != nil:
		err = errors.New("killed: mailu-rotator had to end")
	case err != nil && limited.Err() != nil:
		err = fmt.Errorf("killed after hooks.timeout (%s), with all that it had started", j.Timeout)
	}
	return printed.String(), err
}

func killGroup(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// limitedBuffer keeps the first bytes written to it.
type limitedBuffer struct {
	kept bytes.Buffer
	more bool
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	n := min(len(p), maxOutput-b.kept.Len())
	b.kept.Write(p[:n])
	b.more = b.more || n < len(p)
	return len(p), nil
}

// String makes the output safe for a log.
func (b *limitedBuffer) String() string {
	kept := text.Escape(strings.TrimSpace(b.kept.String()))
	if b.more {
		kept += " … (cut off)"
	}
	return kept
}
