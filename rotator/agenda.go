package rotator

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"

	"github.com/robfig/cron/v3"
)

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

func (t task) scheduled() EventName {
	if t == verifyTask {
		return VerificationScheduled
	}
	return TickScheduled
}

func (t task) refused() EventName {
	switch t {
	case verifyTask:
		return VerificationRefused
	case recoverTask:
		return RecoveryRefused
	}
	return SweepRefused
}

// agenda is when each task starts next. A time that has come stays until the task is
// done, however long another one takes.
type agenda struct {
	*Daemon
	by     *Settings // the settings that the times were computed from
	next   [tasks]appointment
	lapses lapses // determine the next recoverTask
}

// appointment is zero if the task never comes.
type appointment struct {
	tick  time.Time // by the schedule
	start time.Time // the same with its jitter
	until time.Time // a late start must end by this; zero: it has its whole window
}

// newAgenda starts with the last tick of each task, if its window is still open: its
// result is unknown.
func (d *Daemon) newAgenda() *agenda {
	a := &agenda{Daemon: d, by: d.settings.Load(), lapses: lapses{}}
	now, open := d.clock.Now(), a.by.Jitter+a.by.Window
	for _, t := range []task{sweepTask, verifyTask} {
		schedule := t.schedule(a.by)
		if schedule == nil {
			continue
		}
		tick := lastTick(schedule, now.In(a.by.Timezone), open)
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
func (a *agenda) renew() {
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
func (a *agenda) done(t task) {
	a.next[t] = appointment{}
	schedule := t.schedule(a.by)
	if schedule == nil {
		return
	}
	if tick := NextTick(schedule, a.clock.Now().In(a.by.Timezone)); !tick.IsZero() {
		a.appoint(t, tick)
	}
}

func (a *agenda) appoint(t task, tick time.Time) {
	start := tick
	if a.by.Jitter > 0 {
		start = tick.Add(rand.N(a.by.Jitter))
	}
	a.next[t] = appointment{tick: tick, start: start}
	a.observe(Event{Name: t.scheduled(), Wait: max(start.Sub(a.clock.Now()), 0)})
}

// first is the task that starts first, and when; the zero time if none does. Among
// those whose time has come it is the first in their order.
func (a *agenda) first() (first task, start time.Time) {
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
func (a *agenda) bound(t task) time.Time {
	until := cmp.Or(a.next[t].until, a.clock.Now().Add(a.by.Window))
	if sweep := a.next[sweepTask].start; t == verifyTask && !sweep.IsZero() && sweep.Before(until) {
		return sweep
	}
	return until
}
