package sweep_test

import (
	"testing"
	"time"

	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// A server always has a push, and each push is verified immediately: waiting tenants
// are as prepared as they can be, and queue behind it.
func TestAServerIsSentOnePushAfterTheOtherAndEachIsVerifiedAtOnce(t *testing.T) {
	const tenants, push = 6, time.Second
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3, 4, 5, 6)
		f.sweep.Canary = false
		f.mailu.Width = 1
		f.fault = slow(push)

		f.run(t, sweep.Selection{All: true})

		pushes, proofs := f.of(rotatortest.OpSetPassword), f.of(rotatortest.OpVerify)
		if len(pushes) != tenants || len(proofs) != tenants {
			t.Fatalf("%d pushes and %d questions", len(pushes), len(proofs))
		}
		for i := range tenants {
			if begun := time.Duration(i) * push; pushes[i].at != begun || proofs[i].at != begun+push || proofs[i].User != pushes[i].User {
				t.Errorf("%s was pushed after %s, and %s asked about after %s", pushes[i].User, pushes[i].at, proofs[i].User, proofs[i].at)
			}
		}
	})
}

// The turn belongs to the server: this host's work on a hash does not hold it.
func TestATurnEndsBeforeTheHashIsChecked(t *testing.T) {
	const push, check = time.Second, 10 * time.Second
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.sweep.Canary = false
		f.mailu.Width = 1
		f.mailu.Checking = func() { time.Sleep(check) }
		f.fault = slow(push)

		f.run(t, sweep.Selection{All: true})

		if pushes := f.of(rotatortest.OpSetPassword); len(pushes) != 2 || pushes[1].at != push {
			t.Errorf("the pushes were %+v", pushes)
		}
	})
}
