package sweep_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robfig/cron/v3"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// shift is a daemon whose sweeps are recorded. Its day begins at midnight UTC.
type shift struct {
	daemon *sweep.Daemon
	begin  func()                                 // starts the daemon
	sweep  func(ctx context.Context, n int) error // the nth, from 0, which is the recovery; set before the daemon runs

	mu     sync.Mutex
	sweeps []swept
	events []rotator.Event
	inside int
}

// swept is a sweep and its start, relative to the daemon's.
type swept struct {
	at      time.Duration
	pending bool
	window  time.Duration
}

// onShift runs f beside a daemon, which starts at the first wait and is stopped when f
// returns.
func onShift(t *testing.T, schedule string, edit func(*sweep.Settings), f func(*testing.T, *shift)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &shift{sweep: func(context.Context, int) error { return nil }}
		settings := s.settings(t, schedule)
		if edit != nil {
			edit(&settings)
		}
		s.daemon = sweep.NewDaemon(rotator.SystemClock{}, settings)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		s.begin = sync.OnceFunc(func() {
			go func() { defer close(ended); s.daemon.Run(ctx) }()
		})
		f(t, s)
		stop()
		<-ended
	})
}

func (s *shift) settings(t *testing.T, schedule string) sweep.Settings {
	t.Helper()
	parsed, err := cron.ParseStandard(schedule)
	if err != nil {
		t.Fatal(err)
	}
	return sweep.Settings{
		Schedule: parsed, Timezone: time.UTC, Window: 2 * time.Hour, Observe: s.observe,
		Sweep: func(ctx context.Context, sel sweep.Selection, window time.Duration) error {
			s.mu.Lock()
			n := len(s.sweeps)
			s.sweeps = append(s.sweeps, swept{time.Since(midnight), sel.PendingOnly, window})
			s.inside++
			if s.inside > 1 {
				t.Error("two sweeps at a time")
			}
			s.mu.Unlock()
			defer func() { s.mu.Lock(); s.inside--; s.mu.Unlock() }()
			return s.sweep(ctx, n)
		},
	}
}

var midnight = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func (s *shift) observe(e rotator.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

// until waits for a time relative to the start.
func (s *shift) until(d time.Duration) {
	s.begin()
	time.Sleep(time.Until(midnight.Add(d)))
	synctest.Wait()
}

func (s *shift) mustHaveSwept(t *testing.T, want ...time.Duration) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	got := make([]time.Duration, len(s.sweeps))
	same := len(got) == len(want)
	for i, one := range s.sweeps {
		got[i] = one.at
		same = same && got[i] == want[i]
	}
	if !same {
		t.Errorf("swept at %v, want %v", got, want)
	}
}

func TestADaemonFirstFinishesWhatWasLeft(t *testing.T) {
	onShift(t, "0 3 * * *", nil, func(t *testing.T, s *shift) {
		s.until(time.Second)

		s.mustHaveSwept(t, 0)
		if !s.sweeps[0].pending || s.sweeps[0].window != 3*time.Hour {
			t.Errorf("got %+v", s.sweeps[0])
		}
	})
}

func TestADaemonSweepsAtEveryTick(t *testing.T) {
	onShift(t, "0 3 * * *", nil, func(t *testing.T, s *shift) {
		s.until(60 * time.Hour)

		s.mustHaveSwept(t, 0, 3*time.Hour, 27*time.Hour, 51*time.Hour)
		if s.sweeps[1].pending || s.sweeps[1].window != 2*time.Hour {
			t.Errorf("got %+v", s.sweeps[1])
		}
	})
}

func TestTheScheduleIsReadInItsTimeZone(t *testing.T) {
	west := time.FixedZone("five hours west", -5*60*60)
	onShift(t, "0 3 * * *", func(settings *sweep.Settings) { settings.Timezone = west }, func(t *testing.T, s *shift) {
		s.until(24 * time.Hour)

		s.mustHaveSwept(t, 0, 8*time.Hour)
	})
}

func TestJitterDelaysATickByLessThanItself(t *testing.T) {
	onShift(t, "0 3 * * *", func(s *sweep.Settings) { s.Jitter = time.Hour }, func(t *testing.T, s *shift) {
		s.until(20 * 24 * time.Hour)

		delays := map[time.Duration]bool{}
		for i, one := range s.sweeps[1:] {
			delay := one.at - time.Duration(i)*24*time.Hour - 3*time.Hour
			if delay < 0 || delay >= time.Hour {
				t.Errorf("tick %d is %s late", i, delay)
			}
			delays[delay] = true
		}
		if len(s.sweeps) != 21 || len(delays) < 15 {
			t.Errorf("%d sweeps, %d different delays", len(s.sweeps), len(delays))
		}
	})
}

func TestAReloadWhileWaitingMovesTheNextTick(t *testing.T) {
	onShift(t, "0 12 * * *", nil, func(t *testing.T, s *shift) {
		s.until(time.Hour)

		s.daemon.Reload(s.settings(t, "0 5 * * *"))

		s.until(24 * time.Hour)
		s.mustHaveSwept(t, 0, 5*time.Hour)
	})
}

func TestAReloadWithinTheJitterLosesNoSweep(t *testing.T) {
	jitter := func(s *sweep.Settings) { s.Jitter = 2 * time.Hour }
	onShift(t, "0 3 * * *", jitter, func(t *testing.T, s *shift) {
		s.until(3*time.Hour + time.Nanosecond)
		before := len(s.sweeps)

		s.daemon.Reload(s.settings(t, "0 3 * * *"))

		s.until(26 * time.Hour)
		if len(s.sweeps) != 2 || s.sweeps[1].at < 3*time.Hour || s.sweeps[1].at >= 5*time.Hour {
			t.Errorf("%d sweeps before the reload, then %+v", before, s.sweeps)
		}
	})
}

func TestAReloadDuringASweepCountsFromTheNextOne(t *testing.T) {
	onShift(t, "0 3 * * *", nil, func(t *testing.T, s *shift) {
		s.sweep = func(context.Context, int) error { time.Sleep(time.Hour); return nil }
		s.until(3*time.Hour + time.Minute)

		s.daemon.Reload(s.settings(t, "0 9 * * *"))

		s.until(24 * time.Hour)
		s.mustHaveSwept(t, 0, 3*time.Hour, 9*time.Hour)
	})
}

func TestManyReloadsAreOne(t *testing.T) {
	onShift(t, "0 3 * * *", nil, func(t *testing.T, s *shift) {
		s.until(time.Hour)
		for range 10 {
			s.daemon.Reload(s.settings(t, "0 4 * * *"))
		}

		s.until(24 * time.Hour)

		s.mustHaveSwept(t, 0, 4*time.Hour)
	})
}

func TestASweepThatCannotTakePlaceIsTriedAgainUntilTheWindowEnds(t *testing.T) {
	onShift(t, "0 3 * * *", nil, func(t *testing.T, s *shift) {
		s.sweep = func(_ context.Context, n int) error {
			if n == 0 {
				return nil
			}
			return errors.New("Vault is sealed")
		}
		s.until(24 * time.Hour)

		tries := s.sweeps[1:]
		for i, one := range tries[1:] {
			pause, middle := one.at-tries[i].at, min(5*time.Second<<i, 10*time.Minute)
			if pause < middle/2 || pause > middle*3/2 {
				t.Errorf("pause %d is %s", i, pause)
			}
			if one.window != 5*time.Hour-one.at {
				t.Errorf("try %d at %s has a window of %s", i+1, one.at, one.window)
			}
		}
		if last := tries[len(tries)-1].at; last >= 5*time.Hour || last < 5*time.Hour-15*time.Minute {
			t.Errorf("the last try was at %s", last)
		}
	})
}

func TestASweepThatTookPlaceIsNotRepeated(t *testing.T) {
	onShift(t, "0 3 * * *", nil, func(t *testing.T, s *shift) {
		s.sweep = func(_ context.Context, n int) error {
			if n == 1 {
				return errors.New("Vault is sealed")
			}
			return nil
		}
		s.until(24 * time.Hour)

		if len(s.sweeps) != 3 || s.sweeps[2].at > 3*time.Hour+10*time.Second {
			t.Errorf("got %+v", s.sweeps)
		}
	})
}

func TestARecoveryThatFailsGivesWayToTheFirstTick(t *testing.T) {
	onShift(t, "0 3 * * *", nil, func(t *testing.T, s *shift) {
		s.sweep = func(context.Context, int) error {
			if time.Since(midnight) < 3*time.Hour {
				return errors.New("Vault is sealed")
			}
			return nil
		}
		s.until(24 * time.Hour)

		last := s.sweeps[len(s.sweeps)-1]
		if before := s.sweeps[len(s.sweeps)-2]; !before.pending || last.pending || last.at < 3*time.Hour || last.at > 3*time.Hour+15*time.Minute {
			t.Errorf("got %+v, then %+v", before, last)
		}
	})
}

func TestAStoppedDaemonReturnsAfterTheSweepInFlight(t *testing.T) {
	onShift(t, "0 3 * * *", nil, func(t *testing.T, s *shift) {
		var told, ended time.Duration
		s.sweep = func(ctx context.Context, n int) error {
			if n == 0 {
				return nil
			}
			<-ctx.Done()
			told = time.Since(midnight)
			time.Sleep(30 * time.Second)
			ended = time.Since(midnight)
			return nil
		}
		s.until(3*time.Hour + time.Minute)
		t.Cleanup(func() {
			if told != 3*time.Hour+time.Minute || ended != told+30*time.Second {
				t.Errorf("told after %s, ended after %s", told, ended)
			}
		})
	})
}

func TestAStopEndsTheWaitAndThePauses(t *testing.T) {
	for _, result := range []error{nil, errors.New("Vault is sealed")} {
		onShift(t, "0 3 * * *", nil, func(t *testing.T, s *shift) {
			s.sweep = func(context.Context, int) error { return result }
			s.until(time.Minute)
			t.Cleanup(func() {
				if now := time.Since(midnight); now != time.Minute {
					t.Errorf("stopped after %s", now)
				}
			})
		})
	}
}

func TestASweepThatOutlastsTheNextTickIsNotOverlapped(t *testing.T) {
	onShift(t, "0 * * * *", nil, func(t *testing.T, s *shift) {
		s.sweep = func(_ context.Context, n int) error {
			if n == 2 { // after the recovery and the sweep of midnight
				time.Sleep(150 * time.Minute)
			}
			return nil
		}
		s.until(5*time.Hour + time.Minute)

		s.mustHaveSwept(t, 0, 0, time.Hour, 4*time.Hour, 5*time.Hour)
	})
}
