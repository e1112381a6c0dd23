package rotator

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/robfig/cron/v3"
)

// task is what a daemon does on a schedule of its own.
type task int

// The tasks. Where both are due the first one goes first: passwords that are too
// old matter more than a look at them.
const (
	sweepTask task = iota
	verifyTask
	tasks // their number
)

// schedule is nil where the settings turn the task off.
func (t task) schedule(s *Settings) cron.Schedule {
	if t == verifyTask {
		return s.VerifySchedule
	}
	return s.Schedule
}

func (t task) run(ctx context.Context, s *Settings, sel Selection, left time.Duration) error {
	if t == verifyTask {
		return s.Verify(ctx)
	}
	return s.Sweep(ctx, sel, left)
}

func (t task) scheduled() EventName {
	if t == verifyTask {
		return VerificationScheduled
	}
	return TickScheduled
}

func (t task) refused() EventName {
	if t == verifyTask {
		return VerificationRefused
	}
	return SweepRefused
}

// agenda is when each task is to begin next. A time that has come stays until
// the task is done, however long another one takes.
type agenda struct {
	*Daemon
	by   *Settings // what the times were reckoned from
	next [tasks]appointment
}

// appointment is zero where the task never comes.
type appointment struct {
	tick  time.Time // by the schedule
	start time.Time // the same with its jitter
}

func (d *Daemon) newAgenda() *agenda {
	a := &agenda{Daemon: d}
	a.renew()
	return a
}

// renew reckons by the settings of now where they are not those of before. A
// tick that has come is kept: a reload within its jitter must not lose it.
func (a *agenda) renew() {
	s := a.settings.Load()
	if s == a.by {
		return
	}
	a.by = s
	for t := range tasks {
		tick := a.next[t].tick
		if tick.IsZero() || a.clock.Now().Before(tick) || t.schedule(s) == nil {
			a.done(t)
		}
	}
}

// done makes the task's next appointment: the first tick from here on.
func (a *agenda) done(t task) {
	a.next[t] = appointment{}
	schedule := t.schedule(a.by)
	if schedule == nil {
		return
	}
	now := a.clock.Now()
	tick := schedule.Next(now.In(a.by.Timezone))
	if tick.IsZero() {
		return
	}
	start := tick
	if a.by.Jitter > 0 {
		start = tick.Add(rand.N(a.by.Jitter))
	}
	a.next[t] = appointment{tick, start}
	a.observe(Event{Name: t.scheduled(), Wait: start.Sub(now)})
}

// first is the task that begins first, and when.
func (a *agenda) first() (task, time.Time) {
	sweep, verify := a.next[sweepTask].start, a.next[verifyTask].start
	if !verify.IsZero() && verify.Before(sweep) && a.clock.Now().Before(sweep) {
		return verifyTask, verify
	}
	return sweepTask, sweep
}

// bound is how long the task may be tried: for the window, and a verification
// gives way to the next sweep.
func (a *agenda) bound(t task) time.Time {
	until := a.clock.Now().Add(a.by.Window)
	if sweep := a.next[sweepTask].start; t == verifyTask && sweep.Before(until) {
		return sweep
	}
	return until
}
