package sweep_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// whileAsked fails all calls of a kind for some tenants.
func whileAsked(op rotatortest.Op, err error, numbers ...int) rotatortest.Hook {
	return func(c rotatortest.Call) rotatortest.Fault {
		for _, n := range numbers {
			if c.Op == op && (c.User == userOf(n) || c.Tenant == tenant(n)) {
				return rotatortest.Fault{Before: err}
			}
		}
		return rotatortest.Fault{}
	}
}

// lostOnce fails the first call of a kind about a user.
func lostOnce(op rotatortest.Op, user int) rotatortest.Hook {
	return once(op, user, rotatortest.Fault{Before: rotatortest.ErrLost}, func() {})
}

func upTo(n int) (numbers []int) {
	for i := range n {
		numbers = append(numbers, i+1)
	}
	return numbers
}

// A few tenants fail with everything, at any place in the queue: the server's other
// tenants are rotated in the same run.
func TestAFewBadTenantsStopNobodyElseOfTheirServer(t *testing.T) {
	failed := fmt.Errorf("status 500: %w", rotator.ErrServerFailed)
	places := map[string][]int{
		"oldest": {1, 2, 3}, "youngest": {10, 11, 12}, "both ends": {1, 12}, "the middle": {5, 6, 7}, "most": upTo(8),
	}
	faults := map[string]struct {
		op  rotatortest.Op
		err error
	}{
		"500 to the question":      {rotatortest.OpKnows, failed},
		"resets":                   {rotatortest.OpKnows, rotatortest.ErrLost},
		"500 to the push":          {rotatortest.OpSetPassword, failed},
		"resets of the push":       {rotatortest.OpSetPassword, rotatortest.ErrLost},
		"a hash that says nothing": {rotatortest.OpVerify, rotator.ErrUnverifiable},
		"Vault refuses":            {rotatortest.OpWrite, rotator.ErrForbidden},
		"Vault finds it too large": {rotatortest.OpWrite, errors.New("vault answered 413 Request Entity Too Large")},
		"Vault answers 500":        {rotatortest.OpWrite, errDamaged},
		"others keep writing it":   {rotatortest.OpWrite, rotator.ErrConflict},
	}
	for place, bad := range places {
		for fault, call := range faults {
			for _, width := range []int{1, 2, 4} {
				t.Run(fmt.Sprintf("%s, %s, %d at a time", place, fault, width), func(t *testing.T) {
					inFleet(t, func(t *testing.T, f *fleet) {
						f.add(serverA, upTo(12)...)
						f.mailu.Width = width
						f.fault = whileAsked(call.op, call.err, bad...)

						report := f.run(t, sweep.Selection{})

						if n := report.Count(rotator.Rotated); n != 12-len(bad) {
							t.Errorf("%d rotated, %d blocked, %d failed, %d unfinished", n, report.Count(rotator.Blocked), report.Count(rotator.Failed), report.Count(rotator.Unfinished))
						}
						if stopped := f.told(rotator.ServerStopped); len(stopped) > 0 && place != "most" {
							t.Errorf("a server that works is told as stopped: %v", stopped)
						}
					})
				})
			}
		}
	}
}

// The one that failed is retried after the others.
func TestATenantThatFailedGoesBehindTheOthers(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, upTo(8)...)
		f.mailu.Width = 1
		f.fault = lostOnce(rotatortest.OpKnows, 1)

		report := f.run(t, sweep.Selection{})

		if n := report.Count(rotator.Rotated); n != 8 {
			t.Errorf("%d rotated", n)
		}
		var order []string
		for _, call := range f.of(rotatortest.OpKnows) {
			order = append(order, call.User)
		}
		const together = 3 // tenants in the queue of a server that takes one request
		last := order[len(order)-together:]
		if order[0] != userOf(1) || order[1] != userOf(8) || !slices.Contains(last, userOf(1)) {
			t.Errorf("asked in the order %v", order)
		}
	})
}

// Mailu may hold the password that is not yet current in Vault.
func TestWhatWasLeftHalfFinishedIsTriedAgainSoon(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, upTo(20)...)
		f.mailu.Width = 1
		lost := lostOnce(rotatortest.OpVerify, 1)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			slow(time.Second)(c)
			return lost(c)
		}

		report := f.run(t, sweep.Selection{})

		if report.Failures() > 0 {
			t.Errorf("%d failures", report.Failures())
		}
		if again := f.of(rotatortest.OpVerify, 1)[1].at; again > 5*time.Second {
			t.Errorf("asked again after %s", again)
		}
	})
}

// Half-finished tenants leave their users with a password that is not current in Vault:
// a server that accepts no push leaves three.
func TestAServerThatFailsEachPushLeavesThreeHalfFinished(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, upTo(20)...)
		f.fault = whileAsked(rotatortest.OpSetPassword, rotatortest.ErrLost, upTo(20)...)

		report := f.run(t, sweep.Selection{})

		if report.Count(rotator.Unfinished) != 3 || report.Count(rotator.Blocked) != 17 {
			t.Errorf("%d unfinished, %d blocked", report.Count(rotator.Unfinished), report.Count(rotator.Blocked))
		}
	})
}

// A server that answers only 500 is not a restarting one.
func TestAServerThatAnswersOnly500IsGivenUpSoon(t *testing.T) {
	for _, limit := range []int{1, 2, 0} {
		inFleet(t, func(t *testing.T, f *fleet) {
			f.add(serverA, upTo(20)...)
			f.fault = whileAsked(rotatortest.OpKnows, rotator.ErrServerFailed, upTo(20)...)

			report := f.run(t, sweep.Selection{All: true, Limit: limit})

			if took := time.Since(f.began); took > 25*time.Second {
				t.Errorf("limit %d: took %s", limit, took)
			}
			if n := len(f.of(rotatortest.OpKnows)); n > 5 || report.Failures() == 0 {
				t.Errorf("limit %d: asked %d times, %d failures", limit, n, report.Failures())
			}
		})
	}
}

// A failed store is no fault of a server, and does not use up the tries of each tenant
// in the queue.
func TestAStoreThatIsDownEndsEveryLane(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, upTo(20)...)
		f.add(serverB, 30, 31, 32, 33)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op != rotatortest.OpWrite {
				return rotatortest.Fault{}
			}
			time.Sleep(time.Minute)
			return rotatortest.Fault{Before: rotator.ErrUnavailable}
		}

		report := f.run(t, sweep.Selection{})

		if n := len(f.of(rotatortest.OpWrite)); n > 6 || f.mailu.Sets() > 0 {
			t.Errorf("%d writes, %d pushes", n, f.mailu.Sets())
		}
		if n := report.Count(rotator.Blocked); n < 22 || report.Failures() != len(report.Rows) {
			t.Errorf("%d blocked, %d failures", n, report.Failures())
		}
		if n := len(f.told(rotator.ServerStopped)) + len(f.told(rotator.ServerPaused)); n != 0 {
			t.Errorf("a fault of the store is told %d times as one of the server", n)
		}
	})
}

func TestAStoreThatComesBackIsUsedAgain(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, upTo(6)...)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpWrite && time.Since(f.began) < 90*time.Second {
				time.Sleep(time.Minute)
				return rotatortest.Fault{Before: rotator.ErrUnavailable}
			}
			return rotatortest.Fault{}
		}

		if report := f.run(t, sweep.Selection{}); report.Failures() > 0 {
			t.Errorf("%d failures", report.Failures())
		}
	})
}

// A daemon remembers the tenants with which it failed; the record shows half-finished
// ones.
func TestTenantsThatFailedGoBehindTheirPeers(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, upTo(5)...)
		board := boarded(f)
		f.fault = failing(fmt.Errorf("refused: %w", rotator.ErrRefused), 1, 2)
		f.run(t, sweep.Selection{})
		f.leave(t, 3, "another process", f.began)
		f.leave(t, 4, "another process", f.began)
		f.store.Edit(string(tenant(3)), func(fields map[string]any) { fields["pending"].(map[string]any)["takeovers"] = 1 })
		time.Sleep(200 * 24 * time.Hour)

		plan, err := dry(f.sweep).Run(t.Context(), sweep.Selection{}, 0)
		must(t, err)

		mustEnd(t, plan, "4 planned, 3 planned, 5 planned, 1 planned, 2 planned")
		if n := len(board.Snapshot().Tenants); n != 5 {
			t.Errorf("%d on the board", n)
		}
	})
}

func TestAWindowThatEndsHidesNoFailure(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpKnows && c.User == userOf(1) {
				return rotatortest.Fault{Before: rotatortest.ErrLost}
			}
			return slow(time.Minute)(c)
		}

		report := f.runWithin(t, t.Context(), sweep.Selection{}, 30*time.Second)

		mustEnd(t, report, "1 failed, 2 rotated")
	})
}
