package sweep

import (
	"cmp"
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/robfig/cron/v3"

	"mailu-rotator/rotator"
)

// Settings are a daemon's settings; a reload replaces them as a whole.
type Settings struct {
	Schedule cron.Schedule  // when sweeps begin, see [NextTick]; nil: never, nor recoveries
	Timezone *time.Location // time zone of the schedules
	Jitter   time.Duration  // each starts up to this much later
	Window   time.Duration  // how long after that a rotation may start
	Observe  rotator.Observer
	// Sweep runs one sweep. An error means that it could not start.
	Sweep func(ctx context.Context, sel Selection, window time.Duration) error
	// VerifySchedule says when verifications begin; nil, or one that never fires, turns
	// them off.
	VerifySchedule cron.Schedule
	// Verify runs one verification. An error means that it could not start.
	Verify func(ctx context.Context) error
	// Pending returns the half-finished rotations that runs have seen, and Lapsed reads
	// these tenants' records until it finds one whose claim has expired. If nil,
	// half-finished rotations of others wait for the next sweep.
	Pending func() []rotator.Status
	Lapsed  func(ctx context.Context, tenants []rotator.TenantID) (bool, error)
	// Overdue counts the overdue tenants; nil: missed sweeps are not reported.
	Overdue func() int

	replaced context.Context // ends when other settings replace these
	replace  context.CancelFunc
}

// Daemon runs sweeps and verifications by schedule, one at a time. At its start, and
// again when another process's claim has expired, it finishes half-finished rotations.
// If it starts while the window of the last tick is open, it begins that tick's run: a
// restart costs no night.
type Daemon struct {
	clock    rotator.Clock
	settings atomic.Pointer[Settings]
}

// NewDaemon returns a daemon that is not running yet.
func NewDaemon(clock rotator.Clock, settings Settings) *Daemon {
	d := &Daemon{clock: clock}
	d.use(settings)
	return d
}

// use returns the former settings.
func (d *Daemon) use(settings Settings) *Settings {
	settings.replaced, settings.replace = context.WithCancel(context.Background())
	return d.settings.Swap(&settings)
}

// Reload makes the daemon use other settings from its next sweep or verification on; a
// running one keeps its settings.
func (d *Daemon) Reload(settings Settings) {
	former := d.use(settings)
	d.observe(rotator.Event{Name: rotator.SettingsReplaced})
	former.replace()
}

// Run works until ctx ends, and returns when the current run has ended.
func (d *Daemon) Run(ctx context.Context) {
	a := d.newScheduler()
	d.recover(ctx, a)
	for ctx.Err() == nil {
		a.renew()
		next, start := a.first()
		if !d.waitUntil(ctx, a.by, start) {
			continue
		}
		if next == recoverTask {
			a.look(ctx)
			continue
		}
		until := a.bound(next)
		d.try(ctx, next, func() time.Time { return until })
		a.done(next)
		a.noteLapses(next == sweepTask)
	}
}

// recover finishes half-finished rotations, and ends before the first sweep.
func (d *Daemon) recover(ctx context.Context, a *scheduler) {
	once := d.clock.Now().Add(time.Second) // enough for one try
	d.try(ctx, recoverTask, func() time.Time {
		a.renew() // a reload may move that sweep forward
		return later(once, a.next[sweepTask].start)
	})
	a.noteLapses(true)
	now, s := d.clock.Now(), d.settings.Load()
	if wait := a.next[sweepTask].start.Sub(now); wait > 0 && s.Overdue != nil && ctx.Err() == nil {
		if overdue := s.Overdue(); overdue > 0 {
			d.observe(rotator.Event{Name: rotator.SweepMissed, Count: overdue, Wait: wait})
		}
	}
}

func (d *Daemon) observe(e rotator.Event) { d.settings.Load().Observe.Notify(e) }

// waitUntil returns true at a time, and false earlier when ctx ends or the settings
// change. It checks the clock every minute, because the wall clock may be set, or the
// host suspended, while a long timer runs. The zero time never comes.
func (d *Daemon) waitUntil(ctx context.Context, by *Settings, start time.Time) bool {
	for ctx.Err() == nil && d.settings.Load() == by {
		left := start.Sub(d.clock.Now())
		switch {
		case start.IsZero():
			left = time.Minute
		case left <= 0:
			return true
		}
		d.sleep(ctx, by, min(left, time.Minute))
	}
	return false
}

// try repeats a task until it could start: a sealed or unreachable Vault, or a wrong
// clock, only delays it, with growing pauses, until the given time.
func (d *Daemon) try(ctx context.Context, t task, until func() time.Time) {
	pauses := newBackoff(5*time.Second, 10*time.Minute)
	for ctx.Err() == nil {
		s := d.settings.Load()
		left := until().Sub(d.clock.Now())
		if left <= 0 || t.schedule(s) == nil {
			return
		}
		err := t.run(ctx, s, left)
		if err == nil || ctx.Err() != nil {
			return
		}
		pause := min(pauses.next(), until().Sub(d.clock.Now()))
		d.observe(rotator.Event{Name: t.refused(), Wait: pause, Err: err})
		d.sleep(ctx, s, pause)
	}
}

// sleep returns early when ctx ends or the settings are replaced.
func (d *Daemon) sleep(ctx context.Context, by *Settings, length time.Duration) {
	woken, wake := context.WithCancel(ctx)
	defer wake()
	defer context.AfterFunc(by.replaced, wake)()
	_ = d.clock.Sleep(woken, length)
}

// backoff is a pause that doubles each time. Each is jittered by up to half, in both
// directions, so that hosts that failed together do not retry together.
type backoff struct {
	first, longest time.Duration // before the jitter
	current        time.Duration
	random         func() float64 // in [0, 1)
}

func newBackoff(first, longest time.Duration) *backoff {
	return &backoff{first: first, longest: longest, current: first, random: rand.Float64}
}

func (b *backoff) next() time.Duration {
	pause := b.current/2 + time.Duration(b.random()*float64(b.current))
	b.current = min(2*b.current, b.longest)
	return pause
}

func (b *backoff) reset() { b.current = b.first }

// task is what a daemon does on its own schedule.
type task int

// The tasks. If several are due the first one goes first: passwords that are too old
// matter more than a verification, and a sweep finishes half-finished rotations.
const (
	sweepTask task = iota
	recoverTask
	verifyTask
	tasks // their number
)

// schedule is nil if the settings turn the task off.
func (t task) schedule(s *Settings) cron.Schedule {
	if t == verifyTask {
		return s.VerifySchedule
	}
	return s.Schedule
}

func (t task) run(ctx context.Context, s *Settings, left time.Duration) error {
	if t == verifyTask {
		return s.Verify(ctx)
	}
	return s.Sweep(ctx, Selection{PendingOnly: t == recoverTask}, left)
}

func (t task) refused() rotator.EventName {
	switch t {
	case verifyTask:
		return rotator.VerificationRefused
	case recoverTask:
		return rotator.RecoveryRefused
	}
	return rotator.SweepRefused
}

// scheduler is when each task starts next. A time that has come stays until the task is
// done, however long another one takes.
type scheduler struct {
	*Daemon
	by    *Settings // the settings that the times were computed from
	next  [tasks]nextRun
	looks map[string]*look // by tenant; the earliest is the next recoverTask
}

// nextRun is zero if the task never comes.
type nextRun struct {
	tick  time.Time // by the schedule
	start time.Time // the same with its jitter
	until time.Time // a late start must end by this; zero: it has its whole window
}

// newScheduler starts with the last tick of each task, if its window is still open: its
// result is unknown.
func (d *Daemon) newScheduler() *scheduler {
	a := &scheduler{Daemon: d, by: d.settings.Load()}
	now, open := d.clock.Now(), a.by.Jitter+a.by.Window
	for _, t := range []task{sweepTask, verifyTask} {
		schedule := t.schedule(a.by)
		if schedule == nil {
			continue
		}
		tick := rotator.LastTick(schedule, now.In(a.by.Timezone), open)
		if tick.IsZero() {
			a.done(t)
			continue
		}
		a.appoint(t, tick)
		a.next[t].until = tick.Add(open)
	}
	return a
}

// renew recomputes the times if the settings have changed. It keeps a tick that has
// come: a reload within its jitter must not lose it.
func (a *scheduler) renew() {
	s := a.settings.Load()
	if s == a.by {
		return
	}
	a.by = s
	for _, t := range []task{sweepTask, verifyTask} {
		tick := a.next[t].tick
		if tick.IsZero() || a.clock.Now().Before(tick) {
			a.done(t)
		}
	}
}

// done schedules the task's next tick after now.
func (a *scheduler) done(t task) {
	a.next[t] = nextRun{}
	schedule := t.schedule(a.by)
	if schedule == nil {
		return
	}
	if tick := rotator.NextTick(schedule, a.clock.Now().In(a.by.Timezone)); !tick.IsZero() {
		a.appoint(t, tick)
	}
}

func (a *scheduler) appoint(t task, tick time.Time) {
	start := tick
	if a.by.Jitter > 0 {
		start = tick.Add(rand.N(a.by.Jitter))
	}
	a.next[t] = nextRun{tick: tick, start: start}
	scheduled := rotator.TickScheduled
	if t == verifyTask {
		scheduled = rotator.VerificationScheduled
	}
	a.observe(rotator.Event{Name: scheduled, Wait: max(start.Sub(a.clock.Now()), 0)})
}

// first is the task that starts first, and when; the zero time if none does. Among
// those whose time has come it is the first in their order.
func (a *scheduler) first() (first task, start time.Time) {
	now := a.clock.Now()
	for t := range tasks {
		begins := a.next[t].start
		if !begins.IsZero() && begins.Before(now) {
			begins = now
		}
		if !begins.IsZero() && (start.IsZero() || begins.Before(start)) {
			first, start = t, begins
		}
	}
	return first, start
}

// bound is how long the task may be retried: for its window, and a verification only
// until the next sweep.
func (a *scheduler) bound(t task) time.Time {
	until := cmp.Or(a.next[t].until, a.clock.Now().Add(a.by.Window))
	if sweep := a.next[sweepTask].start; t == verifyTask && !sweep.IsZero() && sweep.Before(until) {
		return sweep
	}
	return until
}
