package sweep_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// The shift begins at midnight: a restart has missed what was scheduled before.

func TestAStartInTheWindowOfTheLastTickSweeps(t *testing.T) {
	onShift(t, "0 23 * * *", nil, func(t *testing.T, s *shift) {
		s.until(24 * time.Hour)

		s.mustHaveSwept(t, 0, 0, 23*time.Hour)
		if !s.sweeps[0].pending || s.sweeps[1].pending {
			t.Errorf("the recovery and then the sweep, got %+v", s.sweeps)
		}
		if left := s.sweeps[1].window; left != time.Hour {
			t.Errorf("it may begin rotations for %s, the tick's window ends in an hour", left)
		}
	})
}

func TestAStartAfterTheWindowOfTheLastTickDoesNotSweep(t *testing.T) {
	for _, schedule := range []string{"0 22 * * *", "55 21 * * *"} {
		onShift(t, schedule, nil, func(t *testing.T, s *shift) {
			s.until(21 * time.Hour)

			s.mustHaveSwept(t, 0)
		})
	}
}

func TestAStartAtTheTickItselfSweeps(t *testing.T) {
	onShift(t, "0 0 * * *", nil, func(t *testing.T, s *shift) {
		s.until(21 * time.Hour)

		s.mustHaveSwept(t, 0, 0)
	})
}

// A tick may start as late as its jitter allows, and then has its whole window.
func TestAStartAfterTheWindowMayBeWithinJitterAndWindow(t *testing.T) {
	onShift(t, "0 21 * * *", func(s *sweep.Settings) { s.Jitter = 2 * time.Hour }, func(t *testing.T, s *shift) {
		s.until(20 * time.Hour)

		s.mustHaveSwept(t, 0, 0)
	})
}

func TestAStartWithinTheJitterSweepsThatNight(t *testing.T) {
	for range 20 {
		jitter := func(s *sweep.Settings) { s.Jitter = 2 * time.Hour }
		onShift(t, "0 23 * * *", jitter, func(t *testing.T, s *shift) {
			s.until(22 * time.Hour)

			if len(s.sweeps) != 2 || s.sweeps[1].at >= time.Hour {
				t.Fatalf("got %+v", s.sweeps)
			}
			if end := s.sweeps[1].at + s.sweeps[1].window; end != 3*time.Hour {
				t.Errorf("rotations may begin until %s, jitter and window end at 3h", end)
			}
		})
	}
}

func TestTheLastOfManyTicksIsCaughtUpOnce(t *testing.T) {
	onShift(t, "*/7 20-22 * * *", nil, func(t *testing.T, s *shift) {
		s.until(19 * time.Hour)

		s.mustHaveSwept(t, 0, 0)
		if left := s.sweeps[1].window; left != 56*time.Minute {
			t.Errorf("its window has %s left, that of 22:56 has 56m", left)
		}
	})
}

func TestAStartInTheWindowWaitsForVault(t *testing.T) {
	onShift(t, "0 23 * * *", nil, func(t *testing.T, s *shift) {
		s.sweep = func(context.Context, int) error {
			if time.Since(midnight) < 20*time.Minute {
				return errors.New("Vault is sealed")
			}
			return nil
		}
		s.until(20 * time.Hour)

		last := s.sweeps[len(s.sweeps)-1]
		if last.pending || last.at < 20*time.Minute || last.at >= time.Hour {
			t.Errorf("got %+v", s.sweeps)
		}
	})
}

func TestAStartInTheWindowGivesUpAtItsEnd(t *testing.T) {
	onShift(t, "0 23 * * *", nil, func(t *testing.T, s *shift) {
		s.sweep = func(context.Context, int) error { return errors.New("Vault is sealed") }
		s.until(20 * time.Hour)

		if last := s.sweeps[len(s.sweeps)-1]; last.at >= time.Hour {
			t.Errorf("tried at %s, the window ended at 1h", last.at)
		}
	})
}

func TestAStartInTheWindowOfAVerificationVerifies(t *testing.T) {
	onWatch(t, "0 12 * * *", "30 23 * * 5", nil, func(t *testing.T, w *watch) { // 31 December 1999 is a Friday
		w.until(20 * time.Hour)

		w.mustHaveVerified(t, 0)
		w.mustHaveSwept(t, 0, 12*time.Hour)
	})
}

func TestACaughtUpTickIsAnnouncedOnce(t *testing.T) {
	onWatch(t, "0 23 * * *", "30 23 * * 5", nil, func(t *testing.T, w *watch) {
		w.until(time.Hour)

		waits := map[rotator.EventName][]time.Duration{}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, e := range w.events {
			if e.Name == rotator.TickScheduled || e.Name == rotator.VerificationScheduled {
				waits[e.Name] = append(waits[e.Name], e.Wait)
			}
		}
		want := map[rotator.EventName][]time.Duration{
			rotator.TickScheduled:         {0, 23 * time.Hour},
			rotator.VerificationScheduled: {0, 6*24*time.Hour + 23*time.Hour + 30*time.Minute},
		}
		if !maps.EqualFunc(waits, want, slices.Equal) {
			t.Errorf("announced %v, want %v", waits, want)
		}
	})
}

func TestAReloadDoesNotRepeatTheLastTick(t *testing.T) {
	onShift(t, "0 12 * * *", nil, func(t *testing.T, s *shift) {
		s.until(2 * time.Hour)

		s.daemon.Reload(s.settings(t, "0 1 * * *"))

		s.until(24 * time.Hour)
		s.mustHaveSwept(t, 0)
	})
}

func TestTheTickInTheSkippedHourIsKept(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	onWatch(t, "30 2 * * *", "15 2 * * 0", func(s *sweep.Settings) { s.Timezone = berlin }, func(t *testing.T, w *watch) {
		gap := rotatortest.Time(t, "2000-03-26T01:00:00Z").Sub(midnight)
		w.until(gap - time.Hour)
		w.mu.Lock()
		before := len(w.sweeps)
		w.mu.Unlock()

		w.until(gap + 10*time.Hour)

		w.mu.Lock()
		defer w.mu.Unlock()
		if got := w.sweeps[before:]; len(got) != 1 || got[0].at != gap {
			t.Errorf("swept %+v, want once at %s", got, gap)
		}
		if last := w.at[len(w.at)-1]; last != gap {
			t.Errorf("verified at %s, want %s", last, gap)
		}
	})
}

func TestAMissedSweepIsToldWhereTenantsAreOverdue(t *testing.T) {
	for _, test := range []struct {
		name, schedule string
		overdue, want  int
	}{
		{"overdue", "0 12 * * *", 3, 1},
		{"nobody is", "0 12 * * *", 0, 0},
		{"the window is open", "0 23 * * *", 3, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			overdue := func(s *sweep.Settings) { s.Overdue = func() int { return test.overdue } }
			onWatch(t, test.schedule, "", overdue, func(t *testing.T, w *watch) {
				w.until(time.Hour)

				if got := w.count(rotator.SweepMissed); got != test.want {
					t.Errorf("told %d times, want %d", got, test.want)
				}
			})
		})
	}
}

func TestAStopIsNoRefusal(t *testing.T) {
	onWatch(t, "0 3 * * *", "", nil, func(t *testing.T, w *watch) {
		w.sweep = func(ctx context.Context, n int) error {
			if n == 0 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}
		w.until(3*time.Hour + time.Minute)
		t.Cleanup(func() {
			if n := w.count(rotator.SweepRefused); n != 0 {
				t.Errorf("%d refusals", n)
			}
		})
	})
}

// A reload that arrives exactly when the daemon's check of the clock ends.
func TestAReloadIsNeverLost(t *testing.T) {
	for range 100 {
		onShift(t, "0 12 * * *", nil, func(t *testing.T, s *shift) {
			s.begin()
			time.Sleep(3 * time.Minute)
			s.daemon.Reload(s.settings(t, "*/10 * * * *"))

			s.until(11 * time.Minute)

			s.mustHaveSwept(t, 0, 10*time.Minute)
		})
	}
}

func TestADaemonWithoutATickWaitsForAReload(t *testing.T) {
	onShift(t, "0 0 30 2 *", nil, func(t *testing.T, s *shift) {
		s.until(48 * time.Hour)
		s.mustHaveSwept(t, 0)

		s.daemon.Reload(s.settings(t, "0 3 * * *"))

		s.until(52 * time.Hour)
		s.mustHaveSwept(t, 0, 51*time.Hour)
	})
}

// Alerts depend on the name of a run.
func TestARecoveryIsToldAsSuch(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)

		f.run(t, sweep.Selection{PendingOnly: true})

		for _, name := range []rotator.EventName{rotator.RecoveryStarted, rotator.RecoveryPlanned, rotator.RecoveryFinished} {
			if n := len(f.told(name)); n != 1 {
				t.Errorf("%q was told %d times", name, n)
			}
		}
		for _, e := range f.events {
			if e.Name.Task() != rotator.TaskRecovery {
				t.Errorf("%+v", e)
			}
		}
	})
}

func TestTheEndOfASweepSaysWhatItDid(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3)
		f.leave(t, 3, "another process", f.began.Add(-time.Hour))
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpSetPassword {
				time.Sleep(time.Second)
			}
			return rotatortest.Fault{}
		}

		f.runWithin(t, t.Context(), sweep.Selection{}, 0)

		told := f.told(rotator.SweepFinished)
		if len(told) != 1 || told[0].Rotated != 2 || told[0].Finished != 1 || told[0].Deferred != 0 || told[0].Took < 2*time.Second {
			t.Errorf("%+v, want 2 rotated and 1 finished in 2 seconds or more", told)
		}
	})
}

func TestASweepThatIsStoppedIsNotFinished(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3, 4, 5)
		f.sweep.Workers = 1
		ctx, stop := context.WithCancel(t.Context())
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpSetPassword {
				stop()
			}
			return rotatortest.Fault{}
		}

		f.runWithin(t, ctx, sweep.Selection{}, 0)

		if n := len(f.told(rotator.SweepFinished)); n != 0 {
			t.Errorf("finished %d times", n)
		}
		told := f.told(rotator.SweepInterrupted)
		if len(told) != 1 || told[0].Deferred != 4 || told[0].Count != 0 {
			t.Errorf("interrupted: %+v, want 4 deferred, no failure", told)
		}
	})
}

func TestASweepThatIsStoppedAtItsVeryEndIsFinished(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		ctx, stop := context.WithCancel(t.Context())
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpSetPassword {
				stop()
			}
			return rotatortest.Fault{}
		}

		f.runWithin(t, ctx, sweep.Selection{}, 0)

		if len(f.told(rotator.SweepFinished)) != 1 || len(f.told(rotator.SweepInterrupted)) != 0 {
			t.Errorf("events: %+v", f.events)
		}
	})
}

func TestARunThatIsStoppedBeforeItsPlanIsInterrupted(t *testing.T) {
	for _, test := range []struct {
		name string
		want rotator.EventName
		run  func(context.Context, *fleet) error
	}{
		{"sweep", rotator.SweepInterrupted, func(ctx context.Context, f *fleet) error {
			_, err := f.sweep.Run(ctx, sweep.Selection{}, 0)
			return err
		}},
		{"recovery", rotator.RecoveryInterrupted, func(ctx context.Context, f *fleet) error {
			_, err := f.sweep.Run(ctx, sweep.Selection{PendingOnly: true}, 0)
			return err
		}},
		{"verification", rotator.VerificationInterrupted, func(ctx context.Context, f *fleet) error {
			_, err := f.sweep.Verify(ctx, sweep.Selection{}, false)
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1)
				ctx, stop := context.WithCancel(t.Context())
				f.fault = func(rotatortest.Call) rotatortest.Fault { stop(); return rotatortest.Fault{} }

				err := test.run(ctx, f)

				if err == nil || len(f.told(test.want)) != 1 {
					t.Errorf("%v, events: %+v", err, f.events)
				}
			})
		})
	}
}

func TestASweepTellsWhatItsWindowLeft(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpSetPassword {
				time.Sleep(10 * time.Second)
			}
			return rotatortest.Fault{}
		}

		f.runWithin(t, t.Context(), sweep.Selection{}, 5*time.Second)

		if told := f.told(rotator.SweepFinished); len(told) != 1 || told[0].Deferred != 2 {
			t.Errorf("got %+v", told)
		}
	})
}

func TestAReloadDuringARecoveryThatFailsMovesTheNextTick(t *testing.T) {
	onShift(t, "0 12 * * *", nil, func(t *testing.T, s *shift) {
		s.sweep = func(context.Context, int) error { return errors.New("Vault is sealed") }
		s.until(time.Hour)

		s.daemon.Reload(s.settings(t, "0 3 * * *"))

		s.until(3*time.Hour + time.Minute)
		if last := s.sweeps[len(s.sweeps)-1]; last.pending || last.at < 3*time.Hour {
			t.Errorf("the last one is %+v", last)
		}
	})
}
