package sweep_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// vigil is a shift with half-finished rotations; it records when the daemon checks
// them.
type vigil struct {
	*shift
	pending []rotator.Status                               // guarded by shift.mu
	lapsed  func([]rotator.TenantID) (found bool, _ error) // nil: found
	looks   []time.Duration                                // guarded by shift.mu
	asked   [][]rotator.TenantID                           // guarded by shift.mu
}

// onVigil begins with one rotation whose claim ends that long after midnight.
func onVigil(t *testing.T, until time.Duration, f func(*testing.T, *vigil)) {
	t.Helper()
	v := &vigil{}
	watch := func(s *sweep.Settings) {
		v.pending = []rotator.Status{halfFinished("a", until)}
		s.Pending = func() []rotator.Status {
			v.mu.Lock()
			defer v.mu.Unlock()
			return slices.Clone(v.pending)
		}
		s.Lapsed = func(_ context.Context, tenants []rotator.TenantID) (bool, error) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.looks, v.asked = append(v.looks, time.Since(midnight)), append(v.asked, tenants)
			if v.lapsed == nil {
				return true, nil
			}
			return v.lapsed(tenants)
		}
	}
	onShift(t, "0 23 1 * *", watch, func(t *testing.T, s *shift) {
		v.shift = s
		f(t, v)
	})
}

func halfFinished(tenant string, until time.Duration) rotator.Status {
	return rotator.Status{Tenant: tenant, Begun: midnight, Pending: &rotator.Claim{Owner: "other", Until: midnight.Add(until)}}
}

// finish makes the next recovery finish all half-finished rotations.
func (v *vigil) finish() {
	v.sweep = func(_ context.Context, n int) error {
		if n > 0 {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.pending = nil
		}
		return nil
	}
}

const soon = 10 * time.Second // after a claim's end, at the latest

func TestALapsedClaimIsTakenUpBetweenSweeps(t *testing.T) {
	onVigil(t, 20*time.Minute, func(t *testing.T, v *vigil) {
		v.finish()

		v.until(20 * time.Hour)

		if len(v.looks) != 1 || v.looks[0] <= 20*time.Minute || v.looks[0] > 20*time.Minute+soon {
			t.Fatalf("looked at %v, the claim ended after 20m", v.looks)
		}
		v.mustHaveSwept(t, 0, v.looks[0])
		if !v.sweeps[1].pending {
			t.Error("it was no recovery")
		}
	})
}

func TestARotationThatItsOwnerFinishesCostsOneRead(t *testing.T) {
	onVigil(t, 20*time.Minute, func(t *testing.T, v *vigil) {
		v.lapsed = func([]rotator.TenantID) (bool, error) { v.pending = nil; return false, nil }

		v.until(20 * time.Hour)

		v.mustHaveSwept(t, 0)
		if len(v.looks) != 1 || !slices.Equal(v.asked[0], []rotator.TenantID{"a"}) {
			t.Errorf("looked at %v: %v", v.looks, v.asked)
		}
	})
}

func TestAClaimThatIsRenewedIsLookedAtAfterItsNewEnd(t *testing.T) {
	onVigil(t, 20*time.Minute, func(t *testing.T, v *vigil) {
		v.lapsed = func([]rotator.TenantID) (bool, error) {
			if len(v.looks) > 1 {
				v.pending = nil
				return false, nil
			}
			v.pending = []rotator.Status{halfFinished("a", 50*time.Minute)}
			return false, nil
		}

		v.until(20 * time.Hour)

		if len(v.looks) != 2 || v.looks[1] <= 50*time.Minute || v.looks[1] > 50*time.Minute+soon {
			t.Errorf("looked at %v", v.looks)
		}
	})
}

func TestWhatStaysHalfFinishedIsLookedAtEverLessOften(t *testing.T) {
	onVigil(t, 20*time.Minute, func(t *testing.T, v *vigil) {
		v.until(20 * time.Hour)

		if len(v.looks) != 3 || v.looks[1]-v.looks[0] < 10*time.Minute || v.looks[2]-v.looks[1] < 20*time.Minute {
			t.Errorf("looked at %v", v.looks)
		}
		if len(v.sweeps) != 1+3 {
			t.Errorf("%d recoveries", len(v.sweeps))
		}
	})
}

// A pending password keeps most of its take-overs for the sweeps.
func TestARotationTakenOverOftenIsLeftToTheSweeps(t *testing.T) {
	onVigil(t, 20*time.Minute, func(t *testing.T, v *vigil) {
		v.pending[0].Pending.Takeovers = 3

		v.until(20 * time.Hour)

		if len(v.looks) != 0 {
			t.Errorf("looked at %v", v.looks)
		}
	})
}

func TestALookLeavesOutWhatIsLeftToTheSweeps(t *testing.T) {
	onVigil(t, 20*time.Minute, func(t *testing.T, v *vigil) {
		left := halfFinished("b", 20*time.Minute)
		left.Pending.Takeovers = 3
		v.pending = append(v.pending, left)
		v.finish()

		v.until(20 * time.Hour)

		if len(v.asked) != 1 || !slices.Equal(v.asked[0], []rotator.TenantID{"a"}) {
			t.Errorf("asked about %v", v.asked)
		}
	})
}

// An owner that repeatedly claims for some seconds is alive.
func TestAClaimThatIsRenewedAllTheTimeIsLookedAtOnceAMinute(t *testing.T) {
	onVigil(t, 20*time.Minute, func(t *testing.T, v *vigil) {
		v.lapsed = func([]rotator.TenantID) (bool, error) {
			v.pending = []rotator.Status{halfFinished("a", time.Since(midnight)+time.Second)}
			return false, nil
		}

		v.until(30 * time.Minute)

		if n := len(v.looks); n < 2 || n > 10 {
			t.Errorf("%d looks in 10 minutes: %v", n, v.looks)
		}
	})
}

func TestADaemonThatIsStoppedDuringALookComplainsOfNothing(t *testing.T) {
	onVigil(t, 20*time.Minute, func(t *testing.T, v *vigil) {
		v.lapsed = func([]rotator.TenantID) (bool, error) {
			v.mu.Unlock()
			time.Sleep(time.Minute) // the daemon is stopped in the meantime
			v.mu.Lock()
			return false, context.Canceled
		}
		v.until(20*time.Minute + soon)
		t.Cleanup(func() {
			if i := slices.IndexFunc(v.events, func(e rotator.Event) bool { return e.Name == rotator.RecoveryRefused }); i >= 0 {
				t.Errorf("it says %v", v.events[i].Err)
			}
		})
	})
}

func TestAnotherPendingPasswordIsLookedAtAnew(t *testing.T) {
	onVigil(t, 20*time.Minute, func(t *testing.T, v *vigil) {
		v.until(5 * time.Hour)
		before := len(v.looks)
		next := halfFinished("a", 24*time.Hour)
		next.Begun = midnight.Add(5 * time.Hour)
		v.mu.Lock()
		v.pending = []rotator.Status{next} // which the sweep of 23:00 sees
		v.mu.Unlock()

		v.until(30 * time.Hour)

		if len(v.looks) <= before {
			t.Errorf("looked at %v", v.looks)
		}
	})
}

func TestALookThatVaultRefusesIsRepeated(t *testing.T) {
	onVigil(t, 20*time.Minute, func(t *testing.T, v *vigil) {
		v.finish()
		v.lapsed = func([]rotator.TenantID) (bool, error) {
			if len(v.looks) < 8 {
				return false, errors.New("Vault is sealed")
			}
			return true, nil
		}

		v.until(20 * time.Hour)

		if len(v.looks) != 8 || v.looks[7] > 2*time.Hour {
			t.Fatalf("looked at %v", v.looks)
		}
		if v.looks[1]-v.looks[0] < 10*time.Minute {
			t.Errorf("again after %s", v.looks[1]-v.looks[0])
		}
		v.mustHaveSwept(t, 0, v.looks[7])
	})
}

// The host's clock may be ahead of Vault's: a claim that only seems to have expired
// must not cause continuous requests.
func TestALookTooEarlyIsRepeatedAfterAMinute(t *testing.T) {
	onVigil(t, 20*time.Minute, func(t *testing.T, v *vigil) {
		v.lapsed = func([]rotator.TenantID) (bool, error) {
			if len(v.looks) > 4 {
				v.pending = nil
			}
			return false, nil
		}

		v.until(20 * time.Hour)

		if len(v.looks) != 5 || v.looks[4] > 30*time.Minute { // none of them counts as a check that finished nothing
			t.Errorf("looked at %v", v.looks)
		}
		for i, at := range v.looks[1:] {
			if at-v.looks[i] < time.Minute {
				t.Errorf("looked at %v", v.looks)
			}
		}
		v.mustHaveSwept(t, 0)
	})
}

func TestManyClaimsThatEndTogetherAreOneLook(t *testing.T) {
	onVigil(t, 20*time.Minute, func(t *testing.T, v *vigil) {
		v.pending = append(v.pending, halfFinished("b", 20*time.Minute), halfFinished("c", 40*time.Minute))
		v.finish()

		v.until(20 * time.Hour)

		if len(v.looks) != 1 || v.looks[0] > 20*time.Minute+soon {
			t.Fatalf("looked at %v: %v", v.looks, v.asked)
		}
		if slices.Contains(v.asked[0], "c") {
			t.Errorf("asked about %v, and the claim of c stands", v.asked[0])
		}
	})
}

func TestLapsedStopsAtTheFirstOne(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3, 4)
		f.leave(t, 2, "alive", f.began.Add(time.Minute))
		f.leave(t, 3, "dead", f.began.Add(-time.Minute))
		f.leave(t, 4, "dead", f.began.Add(-time.Minute))

		lapsed, err := f.sweep.Lapsed(t.Context(), []rotator.TenantID{tenant(1), tenant(2), tenant(3), tenant(4)})

		if err != nil || !lapsed {
			t.Fatalf("%t, %v", lapsed, err)
		}
		if reads := len(f.of(rotatortest.OpRead)); reads != 3 || len(f.calls) != 3 {
			t.Errorf("calls: %+v", f.calls)
		}
	})
}

func TestNothingHasLapsedWhereClaimsAreAliveOrGone(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.leave(t, 2, "alive", f.began.Add(time.Minute))

		lapsed, err := f.sweep.Lapsed(t.Context(), []rotator.TenantID{tenant(1), tenant(2), tenant(3)}) // 3 is deleted

		if err != nil || lapsed {
			t.Errorf("%t, %v", lapsed, err)
		}
	})
}

func TestLapsedFailsWhereTheRecordCannotBeRead(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.fault = func(rotatortest.Call) rotatortest.Fault { return rotatortest.Fault{Before: rotatortest.ErrLost} }

		_, err := f.sweep.Lapsed(t.Context(), []rotator.TenantID{tenant(1)})

		if err == nil || !strings.Contains(err.Error(), string(tenant(1))) {
			t.Errorf("got %v", err)
		}
	})
}

// All parts together: a host dies beside a daemon whose next sweep is a month away.
func TestADaemonFinishesWhatADeadHostLeft(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 399, 398)
		f.leave(t, 399, "dead host", f.began.Add(20*time.Minute))
		board := boarded(f)
		daemon := sweep.NewDaemon(rotator.SystemClock{}, sweep.Settings{
			Schedule: rotatortest.Cron(t, "0 3 31 * *"), Timezone: time.UTC, Window: time.Hour, Observe: f.sweep.Observe,
			Sweep: func(ctx context.Context, sel sweep.Selection, window time.Duration) error {
				_, err := f.sweep.Run(ctx, sel, window)
				return err
			},
			Pending: board.Pending, Lapsed: f.sweep.Lapsed,
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); daemon.Run(ctx) }()

		time.Sleep(20*time.Minute + time.Minute)

		if doc, _ := f.store.Get(string(tenant(399))); doc["pending"] != nil {
			t.Errorf("half-finished still: %v", doc)
		}
		if pushes := f.of(rotatortest.OpSetPassword, 1, 398); len(pushes) != 0 {
			t.Errorf("others were rotated: %v", pushes)
		}
		if left := board.Pending(); len(left) != 0 {
			t.Errorf("on the board: %v", left)
		}
		before := len(f.calls)
		time.Sleep(24 * time.Hour)
		if n := len(f.calls) - before; n != 0 {
			t.Errorf("%d calls in a day without anything to do", n)
		}
		stop()
		<-ended
	})
}

func TestTheBoardLearnsFromALook(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 398, 399)
		f.leave(t, 399, "other", f.began.Add(20*time.Minute))
		board := boarded(f)
		f.run(t, sweep.Selection{PendingOnly: true, Origins: []rotator.Origin{serverB, serverA}})
		if n := len(board.Pending()); n != 1 {
			t.Fatalf("%d pending", n)
		}
		f.store.Edit(string(tenant(399)), func(fields map[string]any) { delete(fields, "pending") })

		_, err := f.sweep.Lapsed(t.Context(), []rotator.TenantID{tenant(399)})

		if err != nil || len(board.Pending()) != 0 {
			t.Errorf("%v, pending: %v", err, board.Pending())
		}
	})
}
