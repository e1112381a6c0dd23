package sweep_test

import (
	"context"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

func TestNothingIsBegunAfterTheWindow(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3, 4, 5)
		f.mailu.Width = 1 // so three tenants at a time, after the canary
		f.fault = slow(time.Minute)

		report := f.runWithin(t, t.Context(), sweep.Selection{}, 2*time.Minute)

		mustEnd(t, report, "1 rotated, 2 rotated, 3 rotated, 4 rotated, 5 deferred")
		if begun := len(f.of(rotatortest.OpKnows)); begun != 4 || report.Failures() != 0 || !report.Incomplete() {
			t.Errorf("%d begun, %d failures", begun, report.Failures())
		}
	})
}

func TestWhatIsHalfFinishedIsFinishedAfterTheWindow(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3)
		f.leave(t, 2, "a dead process", f.began)
		f.leave(t, 3, "a dead process", f.began)
		f.sweep.Workers = 1
		f.fault = slow(time.Minute)

		report := f.runWithin(t, t.Context(), sweep.Selection{}, time.Second)

		mustEnd(t, report, "2 finished, 3 finished, 1 deferred")
	})
}

func TestWhatTheRunItselfLeftHalfFinishedIsFinishedAfterTheWindow(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.User != "" && c.Op != rotatortest.OpKnows && time.Since(f.began) < time.Second/4 {
				return rotatortest.Fault{Before: rotatortest.ErrLost}
			}
			return rotatortest.Fault{}
		}

		report := f.runWithin(t, t.Context(), sweep.Selection{}, time.Second/4)

		mustEnd(t, report, "1 finished")
		f.mustRest(t, 1)
	})
}

func TestTheLimitBoundsWhatIsBegun(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3)
		f.add("https://mail.unlisted.example", 4)
		f.leave(t, 3, "a dead process", f.began)

		report := f.run(t, sweep.Selection{Limit: 1})

		mustEnd(t, report, "3 finished, 1 rotated, 2 deferred, 4 invalid")
	})
}

func TestUnlistedOriginsDoNotUseUpTheLimit(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add("https://mail.unlisted.example", 1)
		f.add(serverA, 2)

		report := f.run(t, sweep.Selection{Limit: 1})

		mustEnd(t, report, "2 rotated, 1 invalid")
	})
}

func TestAnInterruptedRunEndsWhatIsInFlightAndBeginsNothing(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3)
		f.fault = slow(20 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		report := f.runWithin(t, ctx, sweep.Selection{}, 0)

		mustEnd(t, report, "1 rotated, 2 deferred, 3 deferred")
		if took := time.Since(f.began); took != 20*time.Second {
			t.Errorf("took %s", took)
		}
		f.mustRest(t, 1, 2, 3)
	})
}

func TestAfterTheGraceTimeWhatIsInFlightIsLeftHalfFinished(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpWrite {
				time.Sleep(time.Minute) // longer than the grace time of 30 s
			}
			return rotatortest.Fault{}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		report := f.runWithin(t, ctx, sweep.Selection{}, 0)

		mustEnd(t, report, "1 unfinished")
		if f.mailu.Sets() != 0 || f.mailu.Password(userOf(1)) != "old password" {
			t.Errorf("%d pushes after the grace time", f.mailu.Sets())
		}
	})
}

func TestAnInterruptEndsAPause(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.fault = failing(&rotator.RateLimitedError{After: 4 * time.Minute, Err: rotatortest.ErrLost}, 1, 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		report := f.runWithin(t, ctx, sweep.Selection{}, 0)

		mustEnd(t, report, "1 failed, 2 deferred")
		if took := time.Since(f.began); took != time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestARunInterruptedBeforeItReadDoesNotTakePlace(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()

		_, err := f.sweep.Run(ctx, sweep.Selection{}, 0)

		if err == nil || f.store.Writes() != 0 {
			t.Errorf("got %v, %d writes", err, f.store.Writes())
		}
	})
}
