package rotator_test

import (
	"fmt"
	"mailu-rotator/rotator/rotatortest"
	"strings"
	"testing"
	"time"
)

func TestNothingIsPushedInTheLastTenthOfAClaim(t *testing.T) {
	for name, test := range map[string]struct {
		left  time.Duration
		sends int
	}{
		"a millisecond before it": {ttl/10 + time.Millisecond, 1},
		"as it begins":            {ttl / 10, 0},
		"in the middle of it":     {ttl / 20, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t)
			h.store.Hook = func(c rotatortest.Call) rotatortest.Fault {
				if c.Op == rotatortest.OpWrite {
					h.clock.Advance(ttl - test.left) // between creating the claim and writing it
				}
				return rotatortest.Fault{}
			}

			result := h.attempt(t, "daemon")

			if h.mailu.Sets() != test.sends {
				t.Errorf("%d pushes, want %d (%v)", h.mailu.Sets(), test.sends, result.Err)
			}
			if told := strings.Contains(fmt.Sprint(result.Err), "claim lapsed before the push"); told == (test.sends > 0) {
				t.Errorf("got %v", result.Err)
			}
			h.checkInvariant(t)
		})
	}
}
