package sweep_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

func TestADeletedRecordIsAFaultOfItsStatus(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op != rotatortest.OpWrite {
				return rotatortest.Fault{}
			}
			f.store.Delete(string(tenant(1)))
			return rotatortest.Fault{Before: rotator.ErrConflict}
		}

		f.run(t, sweep.Selection{})

		done := f.told(rotator.TenantDone)
		if len(done) != 1 || !errors.Is(done[0].Err, rotator.ErrAbsent) {
			t.Fatalf("told %+v", done)
		}
		if s := done[0].Status; s.Fault != done[0].Err.Error() || s.Ignored || strings.Contains(s.Fault, "\n") {
			t.Errorf("the status is %+v", s)
		}
	})
}

func TestAFailureOfAServerIsNoFaultOfTheStatus(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.fault = failing(rotator.ErrRefused, 1)

		f.run(t, sweep.Selection{})

		if done := f.told(rotator.TenantDone); len(done) != 1 || done[0].Status.Fault != "" {
			t.Errorf("told %+v", done)
		}
	})
}

func TestWhichFaultsOfTheStoreAreRetried(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		writes int
	}{
		"forbidden": {fmt.Errorf("write: %w", rotator.ErrForbidden), 1},
		"damaged":   {errDamaged, 3},
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1, 2)
				f.fault = whileAsked(rotatortest.OpWrite, test.err, 1)

				report := f.run(t, sweep.Selection{})

				if report.Count(rotator.Rotated) != 1 || len(f.of(rotatortest.OpWrite, 1)) != test.writes {
					t.Errorf("%d rotated, %d writes", report.Count(rotator.Rotated), len(f.of(rotatortest.OpWrite, 1)))
				}
			})
		})
	}
}

func TestAfterAFailureOfTheStoreOneTenantGoesAlone(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, upTo(4)...)
		f.sweep.Canary = false
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpWrite && time.Since(f.began) < time.Minute {
				time.Sleep(time.Minute)
				return rotatortest.Fault{Before: rotator.ErrUnavailable}
			}
			return slow(time.Second)(c)
		}

		report := f.run(t, sweep.Selection{})

		if n := report.Count(rotator.Rotated); n != 4 {
			t.Fatalf("%d rotated", n)
		}
		pushed := f.of(rotatortest.OpSetPassword)
		if pushed[0].at != time.Minute || pushed[1].at != time.Minute+time.Second {
			t.Errorf("pushed after %s and %s", pushed[0].at, pushed[1].at)
		}
	})
}

// Tenant 1 is half-finished after each of its three tries, and counts as one: tenant 2,
// for which the queue waits, still gets its turn.
func TestAHalfFinishedTenantCountsOnce(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.leave(t, 2, "a process that died", f.began.Add(4*time.Minute))
		f.fault = whileAsked(rotatortest.OpSetPassword, rotatortest.ErrLost, 1)

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "2 finished, 1 unfinished")
	})
}

// The store does not take the commit of tenant 2. Others are rotated before it is
// retried, although the server works.
func TestAHalfFinishedTenantWaitsForASuccess(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, upTo(8)...)
		f.mailu.Width, f.sweep.Workers = 1, 1
		writes := 0
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op != rotatortest.OpWrite || c.Tenant != tenant(2) {
				return slow(time.Second)(c)
			}
			if writes++; writes == 2 {
				return rotatortest.Fault{Before: errDamaged}
			}
			return rotatortest.Fault{}
		}

		report := f.run(t, sweep.Selection{})

		if report.Failures() > 0 {
			t.Errorf("%d failures", report.Failures())
		}
		done := f.told(rotator.RotationCommitted)
		for i, e := range done {
			if e.Tenant == string(tenant(2)) && (i < 2 || i > 4) {
				t.Errorf("tenant 2 is number %d of %d", i+1, len(done))
			}
		}
	})
}

// The store takes the records of server B, so it works.
func TestRefusedRecordsStopNoLaneOfAStoreThatWorks(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		bad := upTo(8)
		f.add(serverA, bad...)
		f.add(serverB, 20)
		refused := whileAsked(rotatortest.OpWrite, rotator.ErrForbidden, bad...)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpKnows && c.User != userOf(20) {
				time.Sleep(time.Second)
			}
			return refused(c)
		}

		report := f.run(t, sweep.Selection{})

		if failed, rotated := report.Count(rotator.Failed), report.Count(rotator.Rotated); failed != 8 || rotated != 1 {
			t.Errorf("%d failed, %d rotated, %d blocked", failed, rotated, report.Count(rotator.Blocked))
		}
	})
}

// Six tenants in flight get a 500 each: counted one by one they would stop the server.
func TestFaultsAtTheSameTimeCountOnce(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, upTo(12)...)
		f.sweep.Canary = false
		var asked atomic.Int32
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op != rotatortest.OpKnows || asked.Add(1) > 6 {
				return rotatortest.Fault{}
			}
			time.Sleep(time.Second)
			return rotatortest.Fault{Before: rotator.ErrServerFailed}
		}

		report := f.run(t, sweep.Selection{})

		if n := report.Count(rotator.Rotated); n != 12 {
			t.Errorf("%d rotated, %d blocked", n, report.Count(rotator.Blocked))
		}
	})
}

// Three pushes in flight are lost at once, and the server works again afterwards.
func TestTenantsTornAtTheSameTimeCountOnce(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, upTo(8)...)
		f.sweep.Canary = false
		f.fault = whileAsked(rotatortest.OpSetPassword, rotatortest.ErrLost, 1, 2, 3)

		report := f.run(t, sweep.Selection{})

		if rotated, blocked := report.Count(rotator.Rotated), report.Count(rotator.Blocked); rotated != 5 || blocked != 0 {
			t.Errorf("%d rotated, %d blocked", rotated, blocked)
		}
	})
}
