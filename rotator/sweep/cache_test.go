package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/status"
	"mailu-rotator/rotator/sweep"
)

// boarded adds a cache to a fleet.
func boarded(f *fleet) *status.Cache {
	board := status.NewCache(rotator.SystemClock{})
	observe := f.sweep.Observe
	f.sweep.Observe = func(e rotator.Event) { observe(e); board.Observe(e) }
	f.sweep.Cache = board
	return board
}

func TestBoardFollowsASweep(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.add(serverB, 399)
		board := boarded(f)

		_, err := f.sweep.Run(t.Context(), sweep.Selection{}, 0)

		s := board.Snapshot()
		if err != nil || len(s.Tenants) != 2 || s.Scanned.IsZero() {
			t.Fatalf("%d tenants, scanned %s, %v", len(s.Tenants), s.Scanned, err)
		}
		old, young := s.Tenants[0], s.Tenants[1]
		if old.Outcome != rotator.Rotated || old.PolicyState(s.Now, nightly(t)) != rotator.PolicyStateOK {
			t.Errorf("the rotated tenant is %+v", old)
		}
		if age, _ := old.Age(s.Now); age > time.Minute {
			t.Errorf("its new password is %s old", age)
		}
		if young.Outcome != "" {
			t.Errorf("the tenant that was not due has the outcome %s", young.Outcome)
		}
		if len(s.Runs) != 1 || s.Runs[0].Planned != 1 || s.Runs[0].Done != 1 || s.Runs[0].Finished.IsZero() {
			t.Errorf("runs: %+v", s.Runs)
		}
		if len(s.Servers) != 1 || s.Servers[0].Breaker != status.BreakerClosed {
			t.Errorf("servers: %+v", s.Servers)
		}
	})
}

func TestBoardTellsAnInterruptedSweepFromAFinishedOne(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3, 4, 5)
		board := boarded(f)
		f.sweep.Workers = 1
		ctx, stop := context.WithCancel(t.Context())
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpSetPassword {
				stop()
			}
			return rotatortest.Fault{}
		}
		f.runWithin(t, ctx, sweep.Selection{}, 0)
		f.run(t, sweep.Selection{})

		runs := board.Snapshot().Runs

		if r := runs[1]; !r.Interrupted || r.Finished.IsZero() || r.Planned != 5 || r.Done != 1 || r.Deferred != 4 {
			t.Errorf("the interrupted one: %+v", r)
		}
		if r := runs[0]; r.Interrupted || r.Planned != 4 || r.Done != 4 || r.Deferred != 0 {
			t.Errorf("the next one: %+v", r)
		}
	})
}

func TestBoardShowsTheServerThatFails(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3)
		board := boarded(f)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpKnows {
				return rotatortest.Fault{Before: rotatortest.ErrLost}
			}
			return rotatortest.Fault{}
		}

		_, _ = f.sweep.Run(t.Context(), sweep.Selection{}, 0) // its failures are on the cache

		s := board.Snapshot()
		if len(s.Servers) != 1 || s.Servers[0].Breaker != status.BreakerStopped || s.Servers[0].Reason == "" {
			t.Errorf("servers: %+v", s.Servers)
		}
		if s.Runs[0].Failures != 3 {
			t.Errorf("%d failures, want 3", s.Runs[0].Failures)
		}
	})
}

func TestBoardKeepsOutcomesOverSurveys(t *testing.T) {
	board := status.NewCache(rotatortest.NewClock(noon))
	status := rotator.StatusOf(noon, entry(t1, 99), 1)
	board.Replace([]rotator.Status{status, rotator.StatusOf(noon, entry(t2, 1), 1)})
	board.Observe(rotator.Event{Name: rotator.TenantDone, Tenant: t1, Outcome: rotator.Refused, Err: errors.New("too short")})

	board.Replace([]rotator.Status{status})

	s := board.Snapshot()
	if len(s.Tenants) != 1 || s.Tenants[0].Outcome != rotator.Refused || s.Tenants[0].Reason != "too short" {
		t.Errorf("tenants: %+v", s.Tenants)
	}
}

func TestBoardCountsARefusedRunOnce(t *testing.T) {
	board := status.NewCache(rotatortest.NewClock(noon))
	for range 3 {
		board.Observe(rotator.Event{Name: rotator.SweepRefused, Err: errors.New("sealed")})
	}

	if s := board.Snapshot(); len(s.Runs) != 1 || s.Runs[0].Err != "sealed" {
		t.Errorf("runs: %+v", s.Runs)
	}
}

func TestBoardKnowsWhetherTheStoreHadNoTenant(t *testing.T) {
	board := status.NewCache(rotatortest.NewClock(noon))
	for _, test := range []struct {
		err   error
		empty bool
	}{{fmt.Errorf("list: %w", rotator.ErrNoTenants), true}, {errors.New("sealed"), false}, {rotator.ErrNoTenants, true}} {
		board.Observe(rotator.Event{Name: rotator.SweepRefused, Err: test.err})

		if s := board.Snapshot(); s.Runs[0].Empty != test.empty || s.Runs[0].Err != test.err.Error() {
			t.Errorf("%v: runs: %+v", test.err, s.Runs)
		}
	}
}

func TestBoardRemembersSoManyRuns(t *testing.T) {
	clock := rotatortest.NewClock(noon)
	board := status.NewCache(clock)
	for range 50 {
		clock.Advance(time.Hour)
		board.Observe(rotator.Event{Name: rotator.SweepStarted})
		board.Observe(rotator.Event{Name: rotator.SweepFinished})
	}

	if s := board.Snapshot(); len(s.Runs) != 20 || !s.Runs[0].Started.Equal(clock.Now()) {
		t.Errorf("%d runs, the newest of %s", len(s.Runs), s.Runs[0].Started)
	}
}

func TestBoardKnowsWhatComesNext(t *testing.T) {
	board := status.NewCache(rotatortest.NewClock(noon))
	board.Observe(rotator.Event{Name: rotator.TickScheduled, Wait: time.Hour})
	board.Observe(rotator.Event{Name: rotator.VerificationScheduled, Wait: 2 * time.Hour})

	s := board.Snapshot()
	if !s.NextSweep.Equal(noon.Add(time.Hour)) || !s.NextVerification.Equal(noon.Add(2*time.Hour)) {
		t.Errorf("next sweep %s, next verification %s", s.NextSweep, s.NextVerification)
	}
}
