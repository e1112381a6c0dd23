package sweep_test

import (
	"net/http"
	"testing"
	"time"

	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

func TestRefusalThatNothingProvesStaysPending(t *testing.T) {
	g := newGround(t)
	g.mailu.Inject(
		mailutest.Fault{Kind: mailutest.StatusAfter, Method: http.MethodPatch, Status: http.StatusBadRequest, Times: 1},
		mailutest.Fault{Kind: mailutest.Status, Method: http.MethodGet, Status: http.StatusInternalServerError, Skip: 1},
	)
	g.mustBe(t, g.sweep(t, "A"), rotator.Unfinished)
	g.mustAccept(t, false)

	g.mustRollForward(t)
}

// The admin is still processing when the proxy gives up and shows its own page: a
// request right afterwards sees the former password, which proves nothing.
func TestAProxysPageIsNoRefusal(t *testing.T) {
	for _, status := range []int{http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound} {
		g := newGround(t)
		g.mailu.Inject(mailutest.Fault{
			Kind: mailutest.LateEffect, Method: http.MethodPatch, Status: status, Body: "<html><title>Sorry</title></html>", Delay: 50 * time.Millisecond, Times: 1,
		})
		g.mustBe(t, g.sweep(t, "A"), rotator.Unfinished)

		g.mailu.Settle()
		g.mustAccept(t, false)
		g.mustRollForward(t)
	}
}

func TestRefusalByAServerThatIsNotAskedStaysPending(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.mailu.Unverified = true
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpSetPassword {
				return rotatortest.Fault{Before: rotator.ErrRefused}
			}
			return rotatortest.Fault{}
		}
		first := f.run(t, sweep.Selection{}).Rows[0]

		f.fault = nil
		time.Sleep(ttl)
		second := f.run(t, sweep.Selection{}).Rows[0]

		if first.Outcome != rotator.Unfinished || second.Outcome != rotator.Finished || f.made != 1 {
			t.Errorf("%s (%s), then %s (%s), %d passwords", first.Outcome, first.Reason, second.Outcome, second.Reason, f.made)
		}
	})
}
