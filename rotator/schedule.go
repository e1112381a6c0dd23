package rotator

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/robfig/cron/v3"
)

// Settings is what a daemon runs by; a reload replaces it whole.
type Settings struct {
	Schedule cron.Schedule  // when sweeps begin
	Timezone *time.Location // where Schedule is read
	Jitter   time.Duration  // each begins up to so much later
	Window   time.Duration  // how long after that a rotation may be begun
	Observe  Observer
	// Sweep runs one sweep. An error means that it could not take place.
	Sweep func(ctx context.Context, sel Selection, window time.Duration) error
}

// Daemon runs one sweep at a time, by schedule, and first of all finishes what
// was left half-finished.
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

// Reload makes the daemon run by other settings from its next sweep on; one
// that is under way ends as it began.
func (d *Daemon) Reload(settings Settings) {
	d.settings.Store(&settings)
	d.observe(Event{Name: SettingsReplaced})
	select {
	case d.renewed <- struct{}{}:
	default: // one unseen reload is enough: it finds the newest settings
	}
}

// Run sweeps until ctx ends, and returns when the sweep under way has.
func (d *Daemon) Run(ctx context.Context) {
	after := d.clock.Now()
	d.sweep(ctx, Selection{PendingOnly: true}, d.tick(after))
	for ctx.Err() == nil {
		tick := d.tick(after)
		d.observe(Event{Name: TickScheduled, Wait: tick.Sub(d.clock.Now())})
		if d.waitUntil(ctx, tick) {
			d.sweep(ctx, Selection{}, d.clock.Now().Add(d.settings.Load().Window))
			after = d.clock.Now()
		}
	}
}

func (d *Daemon) observe(e Event) { d.settings.Load().Observe.observe(e) }

// tick is the schedule's first time after the given one, with its jitter. It
// may have passed: a reload within the jitter must not lose the day's sweep.
func (d *Daemon) tick(after time.Time) time.Time {
	s := d.settings.Load()
	tick := s.Schedule.Next(after.In(s.Timezone))
	if s.Jitter > 0 {
		tick = tick.Add(rand.N(s.Jitter))
	}
	return tick
}

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

// sweep tries until a sweep could take place: a sealed or unreachable Vault, or
// a wrong clock, only delays it, with growing pauses, until the time given.
func (d *Daemon) sweep(ctx context.Context, sel Selection, until time.Time) {
	pauses := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(5*time.Second), backoff.WithMultiplier(2),
		backoff.WithMaxInterval(10*time.Minute), backoff.WithMaxElapsedTime(0))
	for ctx.Err() == nil {
		left := until.Sub(d.clock.Now())
		s := d.settings.Load()
		if left <= 0 {
			return
		}
		err := s.Sweep(ctx, sel, left)
		if err == nil {
			return
		}
		pause := pauses.NextBackOff()
		d.observe(Event{Name: SweepRefused, Wait: pause, Err: err})
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
