package hook

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

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

// job is one program to run.
type job struct {
	hook     Name
	tenant   string
	argv     []string
	timeout  time.Duration
	check    func(path string) error
	document []byte
	report   func(Result)
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
	r := &Runner{clock: clock, ended: make(chan struct{}), settings: settings.clone(), tally: newTally()}
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
	r.queue = append(r.queue, job{hook, e.Tenant, argv, r.settings.Timeout, r.settings.Check, document.encode(), r.settings.Report})
	r.changed.Signal()
}

// one runs the next program and reports it; it returns false when the runner is closed
// and the queue empty.
func (r *Runner) one(ctx context.Context) bool {
	j, dropped, ok := r.next(ctx)
	if dropped > 0 {
		j.report(Result{Err: ErrDropped, Dropped: dropped})
	}
	if !ok {
		return false
	}
	start := r.clock.Now()
	output, err := j.run(ctx)
	j.report(Result{Hook: j.hook, Tenant: j.tenant, Program: j.argv[0], Took: r.clock.Now().Sub(start), Output: output, Err: err})
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
		return job{report: r.settings.Report}, dropped, false
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
