package rotator

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/robfig/cron/v3"
)

// Settings is what a daemon runs by; a reload replaces it whole.
type Settings struct {
	Schedule cron.Schedule  // when sweeps begin
	Timezone *time.Location // where the schedules are read
	Jitter   time.Duration  // each begins up to so much later
	Window   time.Duration  // how long after that a rotation may be begun
	Observe  Observer
	// Sweep runs one sweep. An error means that it could not take place.
	Sweep func(ctx context.Context, sel Selection, window time.Duration) error
	// VerifySchedule says when verifications begin; nil, or one that never
	// comes, turns them off.
	VerifySchedule cron.Schedule
	// Verify runs one verification. An error means that it could not take place.
	Verify func(ctx context.Context) error
}

// Daemon runs sweeps and verifications by schedule, one at a time, and first of
// all finishes what was left half-finished.
type Daemon struct {
	clock    Clock
	settings atomic.Pointer[Settings]
	renewed  chan struct{} // holds one token while a reload is unseen
}

// NewDaemon returns a daemon that has not begun.
func NewDaemon(clock Clock, settings Settings) *Daemon {
	d := &Daemon{clock: clock, renewed: make(chan struct{}, 1)}
	d.settings.Store(&settings)
	return d
}

// Reload makes the daemon run by other settings from its next sweep or
// verification on; one that is under way ends as it began.
func (d *Daemon) Reload(settings Settings) {
	d.settings.Store(&settings)
	d.observe(Event{Name: SettingsReplaced})
	select {
	case d.renewed <- struct{}{}:
	default: // one unseen reload is enough: it finds the newest settings
	}
}

// Run works until ctx ends, and returns when what is under way has.
func (d *Daemon) Run(ctx context.Context) {
	a := d.newAgenda()
	d.try(ctx, sweepTask, Selection{PendingOnly: true}, a.next[sweepTask].tick)
	for ctx.Err() == nil {
		a.renew()
		next, start := a.first()
		if d.waitUntil(ctx, start) {
			d.try(ctx, next, Selection{}, a.bound(next))
			a.done(next)
		}
	}
}

func (d *Daemon) observe(e Event) { d.settings.Load().Observe.observe(e) }

// waitUntil returns true at tick, and false before when ctx ends or the
// settings are renewed. It looks at the clock every minute, because the wall
// clock may be set, or the host suspended, while a long timer runs.
func (d *Daemon) waitUntil(ctx context.Context, tick time.Time) bool {
	for left := tick.Sub(d.clock.Now()); left > 0; left = tick.Sub(d.clock.Now()) {
		if !d.sleep(ctx, min(left, time.Minute)) {
			return false
		}
	}
	return ctx.Err() == nil
}

// try repeats a task until it could take place: a sealed or unreachable Vault,
// or a wrong clock, only delays it, with growing pauses, until the time given.
func (d *Daemon) try(ctx context.Context, t task, sel Selection, until time.Time) {
	pauses := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(5*time.Second), backoff.WithMultiplier(2),
		backoff.WithMaxInterval(10*time.Minute), backoff.WithMaxElapsedTime(0))
	for ctx.Err() == nil {
		left := until.Sub(d.clock.Now())
		s := d.settings.Load()
		if left <= 0 || t.schedule(s) == nil {
			return
		}
		err := t.run(ctx, s, sel, left)
		if err == nil {
			return
		}
		pause := min(pauses.NextBackOff(), until.Sub(d.clock.Now()))
		d.observe(Event{Name: t.refused(), Wait: pause, Err: err})
		d.sleep(ctx, pause)
	}
}

// sleep returns false when ctx ended or the settings were renewed meanwhile.
func (d *Daemon) sleep(ctx context.Context, length time.Duration) bool {
	woken, wake := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-d.renewed:
			wake()
		case <-woken.Done():
		}
	}()
	err := d.clock.Sleep(woken, length)
	wake()
	<-watched
	return err == nil
}
