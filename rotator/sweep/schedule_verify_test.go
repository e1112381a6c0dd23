package sweep_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// 1 January 2000 is a Saturday: the first verification of a Sunday is due after
// a day.
const weekly = "0 5 * * 0"

const week = 7 * 24 * time.Hour

// watch records a shift's verifications beside its sweeps.
type watch struct {
	*shift
	verify func(n int) error // the nth, from 0; nil: no error
	at     []time.Duration   // guarded by shift.mu
}

// onWatch is onShift with verifications.
func onWatch(t *testing.T, sweeps, verifications string, edit func(*sweep.Settings), f func(*testing.T, *watch)) {
	t.Helper()
	w := &watch{}
	with := func(s *sweep.Settings) {
		w.watch(t, s, verifications)
		if edit != nil {
			edit(s)
		}
	}
	onShift(t, sweeps, with, func(t *testing.T, s *shift) {
		w.shift = s
		f(t, w)
	})
}

// watch adds verifications to the settings, or turns them off.
func (w *watch) watch(t *testing.T, s *sweep.Settings, schedule string) {
	t.Helper()
	s.VerifySchedule = nil
	if schedule != "" {
		parsed, err := cron.ParseStandard(schedule)
		if err != nil {
			t.Fatal(err)
		}
		s.VerifySchedule = parsed
	}
	s.Verify = func(context.Context) error {
		w.mu.Lock()
		n := len(w.at)
		w.at = append(w.at, time.Since(midnight))
		w.inside++
		if w.inside > 1 {
			t.Error("a verification beside something else")
		}
		w.mu.Unlock()
		defer func() { w.mu.Lock(); w.inside--; w.mu.Unlock() }()
		if w.verify == nil {
			return nil
		}
		return w.verify(n)
	}
}

func (w *watch) reload(t *testing.T, sweeps, verifications string) {
	t.Helper()
	s := w.settings(t, sweeps)
	w.watch(t, &s, verifications)
	w.daemon.Reload(s)
}

func (w *watch) mustHaveVerified(t *testing.T, want ...time.Duration) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.at, want) {
		t.Errorf("verified at %v, want %v", w.at, want)
	}
}

func (w *watch) count(name rotator.EventName) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, e := range w.events {
		if e.Name == name {
			n++
		}
	}
	return n
}

func TestADaemonVerifiesAtEveryTick(t *testing.T) {
	onWatch(t, "0 3 * * *", weekly, nil, func(t *testing.T, w *watch) {
		w.until(15 * 24 * time.Hour)

		w.mustHaveVerified(t, 29*time.Hour, 29*time.Hour+week)
		if len(w.sweeps) != 1+15 {
			t.Errorf("%d sweeps in 15 days and a recovery", len(w.sweeps))
		}
		if n := w.count(rotator.VerificationScheduled); n != 1+2 {
			t.Errorf("%d verifications were announced", n)
		}
	})
}

func TestADaemonWithoutAVerificationScheduleNeverVerifies(t *testing.T) {
	onWatch(t, "0 3 * * *", "", nil, func(t *testing.T, w *watch) {
		w.until(2 * week)

		w.mustHaveVerified(t)
		if n := w.count(rotator.VerificationScheduled); n != 0 {
			t.Errorf("%d verifications were announced", n)
		}
	})
}

func TestAVerificationThatIsDueDuringASweepFollowsIt(t *testing.T) {
	onWatch(t, "0 3 * * *", weekly, nil, func(t *testing.T, w *watch) {
		w.sweep = func(_ context.Context, n int) error {
			if n == 2 { // Sunday's
				time.Sleep(6 * time.Hour)
			}
			return nil
		}
		w.until(40 * time.Hour)

		w.mustHaveSwept(t, 0, 3*time.Hour, 27*time.Hour)
		w.mustHaveVerified(t, 33*time.Hour)
	})
}

func TestASweepThatIsDueDuringAVerificationFollowsIt(t *testing.T) {
	onWatch(t, "0 6 * * *", weekly, nil, func(t *testing.T, w *watch) {
		w.verify = func(int) error { time.Sleep(4 * time.Hour); return nil }
		w.until(40 * time.Hour)

		w.mustHaveVerified(t, 29*time.Hour)
		w.mustHaveSwept(t, 0, 6*time.Hour, 33*time.Hour)
	})
}

func TestASweepGoesBeforeAVerificationOfTheSameTime(t *testing.T) {
	onWatch(t, "0 5 * * *", weekly, nil, func(t *testing.T, w *watch) {
		w.sweep = func(context.Context, int) error { time.Sleep(time.Minute); return nil }
		w.until(30 * time.Hour)

		w.mustHaveSwept(t, 0, 5*time.Hour, 29*time.Hour)
		w.mustHaveVerified(t, 29*time.Hour+time.Minute)
	})
}

// Tasks that come up during a long verification run in their order, not by their times.
func TestASweepGoesBeforeALookThatWasDueEarlier(t *testing.T) {
	pending := func(s *sweep.Settings) {
		s.Pending = func() []rotator.Status { return []rotator.Status{halfFinished("a", 40*time.Minute)} }
		s.Lapsed = func(context.Context, []rotator.TenantID) (bool, error) { return true, nil }
	}
	onWatch(t, "0 2 * * *", "30 0 * * *", pending, func(t *testing.T, w *watch) {
		w.verify = func(int) error { time.Sleep(3 * time.Hour); return nil }

		w.until(3*time.Hour + 31*time.Minute)

		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.sweeps) < 2 || w.sweeps[1].pending || w.sweeps[1].at != 3*time.Hour+30*time.Minute {
			t.Errorf("after the verification: %+v", w.sweeps)
		}
	})
}

func TestJitterDelaysAVerificationToo(t *testing.T) {
	jitter := func(s *sweep.Settings) { s.Jitter = time.Hour }
	onWatch(t, "0 12 * * *", "0 5 * * *", jitter, func(t *testing.T, w *watch) {
		w.until(20 * 24 * time.Hour)

		delays := map[time.Duration]bool{}
		for i, at := range w.at {
			delay := at - time.Duration(i)*24*time.Hour - 5*time.Hour
			if delay < 0 || delay >= time.Hour {
				t.Errorf("verification %d is %s late", i, delay)
			}
			delays[delay] = true
		}
		if len(w.at) != 20 || len(delays) < 15 {
			t.Errorf("%d verifications, %d different delays", len(w.at), len(delays))
		}
	})
}

func TestAVerificationIsReadInTheTimeZone(t *testing.T) {
	west := time.FixedZone("five hours west", -5*60*60)
	onWatch(t, "0 3 * * *", weekly, func(s *sweep.Settings) { s.Timezone = west }, func(t *testing.T, w *watch) {
		w.until(2 * 24 * time.Hour)

		w.mustHaveVerified(t, 34*time.Hour)
	})
}

func TestAVerificationThatCannotTakePlaceIsTriedAgainUntilTheWindowEnds(t *testing.T) {
	onWatch(t, "0 3 * * *", weekly, nil, func(t *testing.T, w *watch) {
		w.verify = func(int) error { return errors.New("Vault is sealed") }
		w.until(3 * 24 * time.Hour)

		// From Sunday 5:00 on, during the window of two hours.
		for i, at := range w.at[1:] {
			pause, middle := at-w.at[i], min(5*time.Second<<i, 10*time.Minute)
			if pause < middle/2 || pause > middle*3/2 {
				t.Errorf("pause %d is %s", i, pause)
			}
		}
		if last := w.at[len(w.at)-1]; last >= 31*time.Hour || last < 31*time.Hour-15*time.Minute {
			t.Errorf("the last try was at %s", last)
		}
		if n := w.count(rotator.VerificationRefused); n != len(w.at) {
			t.Errorf("%d of %d refusals were told", n, len(w.at))
		}
		w.mustHaveSwept(t, 0, 3*time.Hour, 27*time.Hour, 51*time.Hour)
	})
}

func TestAVerificationThatCannotTakePlaceGivesWayToTheNextSweep(t *testing.T) {
	onWatch(t, "0 6 * * *", weekly, nil, func(t *testing.T, w *watch) {
		w.verify = func(int) error { return errors.New("Vault is sealed") }
		w.until(3 * 24 * time.Hour)

		if last := w.at[len(w.at)-1]; last >= 30*time.Hour || len(w.at) < 5 {
			t.Errorf("%d tries, the last at %s", len(w.at), last)
		}
		w.mustHaveSwept(t, 0, 6*time.Hour, 30*time.Hour, 54*time.Hour)
	})
}

func TestAVerificationThatTookPlaceIsNotRepeated(t *testing.T) {
	onWatch(t, "0 3 * * *", weekly, nil, func(t *testing.T, w *watch) {
		w.verify = func(n int) error {
			if n == 0 {
				return errors.New("Vault is sealed")
			}
			return nil
		}
		w.until(6 * 24 * time.Hour)

		if len(w.at) != 2 || w.at[1] > 29*time.Hour+10*time.Second {
			t.Errorf("verified at %v", w.at)
		}
	})
}

func TestAReloadTurnsVerificationsOnAndOff(t *testing.T) {
	onWatch(t, "0 3 * * *", "", nil, func(t *testing.T, w *watch) {
		w.until(time.Hour)
		w.reload(t, "0 3 * * *", "0 5 * * *")
		w.until(50 * time.Hour)
		w.mustHaveVerified(t, 5*time.Hour, 29*time.Hour)

		w.reload(t, "0 3 * * *", "")

		w.until(week)
		w.mustHaveVerified(t, 5*time.Hour, 29*time.Hour)
		if len(w.sweeps) != 1+7 {
			t.Errorf("%d sweeps in 7 days and a recovery", len(w.sweeps))
		}
	})
}

func TestAReloadEndsTheTriesOfAVerificationThatIsTurnedOff(t *testing.T) {
	onWatch(t, "0 3 * * *", weekly, nil, func(t *testing.T, w *watch) {
		w.verify = func(int) error { return errors.New("Vault is sealed") }
		w.until(29*time.Hour + time.Minute)
		tries := len(w.at)

		w.reload(t, "0 3 * * *", "")

		w.until(week)
		if len(w.at) != tries {
			t.Errorf("%d tries before, %d after", tries, len(w.at))
		}
	})
}

func TestAReloadWithinTheJitterTurnsAVerificationOff(t *testing.T) {
	jitter := func(s *sweep.Settings) { s.Jitter = 12 * time.Hour }
	onWatch(t, "0 3 * * *", weekly, jitter, func(t *testing.T, w *watch) {
		w.until(29*time.Hour + time.Millisecond)

		w.reload(t, "0 3 * * *", "")

		w.until(week)
		w.mustHaveVerified(t)
	})
}

// A new schedule counts from the reload: earlier times of it are not made up for.
func TestAReloadDuringASweepBringsNoVerificationForward(t *testing.T) {
	onWatch(t, "0 3 * * *", weekly, nil, func(t *testing.T, w *watch) {
		w.sweep = func(context.Context, int) error { time.Sleep(time.Hour); return nil }
		w.until(4*24*time.Hour + 3*time.Hour + time.Minute)

		w.reload(t, "0 3 * * *", "0 2 * * *")

		w.until(5*24*time.Hour + 4*time.Hour)
		w.mustHaveVerified(t, 29*time.Hour, 5*24*time.Hour+2*time.Hour)
	})
}

func TestAStoppedDaemonReturnsAfterTheVerificationUnderWay(t *testing.T) {
	onWatch(t, "0 3 * * *", weekly, nil, func(t *testing.T, w *watch) {
		var ended time.Duration
		w.verify = func(int) error {
			time.Sleep(time.Hour)
			ended = time.Since(midnight)
			return nil
		}
		w.until(29*time.Hour + time.Minute)
		t.Cleanup(func() {
			if ended != 30*time.Hour {
				t.Errorf("the verification ended after %s", ended)
			}
		})
	})
}
