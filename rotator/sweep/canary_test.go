package sweep_test

import (
	"fmt"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

func TestTheCanaryGoesAloneUntilItSucceeded(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3, 4)
		f.mailu.Width = 3
		f.fault = slow(time.Second)

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "1 rotated, 2 rotated, 3 rotated, 4 rotated")
		if begun := f.of(rotatortest.OpKnows); begun[0].User != userOf(1) || begun[0].at != 0 || begun[1].at < time.Second {
			t.Errorf("begun in the order %v", begun)
		}
		if committed := f.told(rotator.RotationCommitted)[0]; committed.Tenant != string(tenant(1)) {
			t.Errorf("the first commit is %s's", committed.Tenant)
		}
		if took := time.Since(f.began); took != 2*time.Second {
			t.Errorf("the others did not go side by side: took %s", took)
		}
	})
}

func TestEachServerHasItsOwnCanary(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.add(serverB, 3, 4)
		f.fault = slow(time.Second)

		f.run(t, sweep.Selection{})

		for _, canary := range []int{1, 3} {
			if begun := f.of(rotatortest.OpKnows, canary)[0]; begun.at != 0 {
				t.Errorf("canary %d begun after %s", canary, begun.at)
			}
			if next := f.of(rotatortest.OpKnows, canary+1)[0]; next.at < time.Second {
				t.Errorf("tenant %d begun after %s, before its canary had succeeded", canary+1, next.at)
			}
		}
	})
}

func TestWithoutCanaryAllBeginAtOnce(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3)
		f.sweep.Canary = false
		f.mailu.Width = 3
		f.fault = slow(time.Second)

		f.run(t, sweep.Selection{})

		if took := time.Since(f.began); took != time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestAFailingCanaryHoldsBackItsServerAndNoOther(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverB, 2, 4)
		var down []int
		for n := 10; n < 30; n++ {
			f.add(serverA, n)
			down = append(down, n)
		}
		f.fault = failing(rotatortest.ErrLost, down...)

		report := f.run(t, sweep.Selection{})

		if rotated, blocked := report.Count(rotator.Rotated), report.Count(rotator.Blocked); rotated != 2 || blocked != 11 {
			t.Errorf("%d rotated, %d blocked", rotated, blocked)
		}
		if sent := len(f.of(rotatortest.OpKnows, down...)); sent != 9 {
			t.Errorf("%d calls for tenants behind the canaries", sent)
		}
		if f.store.Writes() != 2*2 {
			t.Errorf("%d writes: a server that is down costs KV versions", f.store.Writes())
		}
	})
}

func TestAnUnknownUserIsNoVerdictOnTheServer(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3)
		f.fault = failing(fmt.Errorf("unknown user: %w", rotator.ErrRefused), 1)

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "1 failed, 2 rotated, 3 rotated")
		if _, version := f.store.Get(string(tenant(1))); version != 1 || len(f.of(rotatortest.OpKnows, 1)) != 1 {
			t.Errorf("version %d, asked %d times", version, len(f.of(rotatortest.OpKnows, 1)))
		}
		if paused := f.told(rotator.ServerPaused); len(paused) != 0 {
			t.Errorf("the server was paused: %v", paused)
		}
	})
}

func TestOldestFirst(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 3, 1, 5, 2, 4)
		f.mailu.Width = 1 // so three tenants at a time, after the canary, and one push
		f.fault = slow(time.Second)

		f.run(t, sweep.Selection{})

		for n, want := range map[int]time.Duration{1: 0, 2: time.Second, 3: time.Second, 4: time.Second, 5: 2 * time.Second} {
			if begun := f.of(rotatortest.OpKnows, n)[0].at; begun != want {
				t.Errorf("tenant %d was begun after %s, want %s", n, begun, want)
			}
		}
	})
}
