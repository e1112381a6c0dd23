package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"mailu-rotator/test/faultproxy"
)

// trouble is a fault of a request without a process's death.
type trouble struct {
	name  string
	mailu bool // at Mailu, otherwise at Vault
	only  step // "" is any
	fault func(*rand.Rand) faultproxy.Fault
}

func troubles() []trouble {
	return []trouble{
		{"vault: refused", false, "", kind(faultproxy.ResetBefore)},
		{"vault: reset after the effect", false, "", kind(faultproxy.ResetAfter)},
		{"vault: hanging", false, "", func(rng *rand.Rand) faultproxy.Fault {
			// The fault ends early, which saves the minute and a half that the program
			// would wait.
			return faultproxy.Fault{Kind: faultproxy.ResetBefore, Delay: between(rng, time.Second, 4*time.Second)}
		}},
		{"vault: slow", false, "", slow},
		{"vault: 500 after the effect", false, "", broken},
		{"vault: 429 with Retry-After", false, "", limited},
		{"vault: the effect comes late", false, "", func(rng *rand.Rand) faultproxy.Fault {
			return faultproxy.Fault{Kind: faultproxy.LateEffect, Delay: between(rng, 0, 2*claimTTL)}
		}},
		{"mailu: refused connection", true, "", kind(faultproxy.ResetBefore)},
		{"mailu: reset after the effect", true, "", kind(faultproxy.ResetAfter)},
		{"mailu: hanging", true, "", kind(faultproxy.Hang)},
		{"mailu: slow", true, "", slow},
		{"mailu: 500 after the effect", true, "", broken},
		{"mailu: 429 with Retry-After", true, "", limited},
		{"mailu: refused (400)", true, push, func(*rand.Rand) faultproxy.Fault { return refused() }},
		{"mailu: 200 without effect", true, push, func(*rand.Rand) faultproxy.Fault { return lie() }},
		{"mailu: the effect comes late", true, push, func(rng *rand.Rand) faultproxy.Fault {
			return faultproxy.Fault{Kind: faultproxy.LateEffect, Delay: between(rng, 0, lateAtMost)}
		}},
	}
}

func kind(k faultproxy.Kind) func(*rand.Rand) faultproxy.Fault {
	return func(*rand.Rand) faultproxy.Fault { return faultproxy.Fault{Kind: k} }
}

func slow(rng *rand.Rand) faultproxy.Fault {
	return faultproxy.Fault{Kind: faultproxy.Delay, Delay: between(rng, 50*time.Millisecond, 700*time.Millisecond)}
}

func broken(*rand.Rand) faultproxy.Fault {
	return faultproxy.Fault{Kind: faultproxy.StatusAfter, Status: 500, Body: `{"errors":["chaos"]}`}
}

func limited(*rand.Rand) faultproxy.Fault {
	return faultproxy.Fault{Kind: faultproxy.Status, Status: 429, Header: http.Header{"Retry-After": {"1"}}, Body: `{"errors":["chaos"]}`}
}

// refused is a refusal by Mailu.
func refused() faultproxy.Fault {
	return faultproxy.Fault{Kind: faultproxy.Status, Status: 400, Header: asJSON(), Body: `{"code":400,"message":"chaos"}`}
}

// lie claims success for a password that was not set.
func lie() faultproxy.Fault {
	return faultproxy.Fault{Kind: faultproxy.Status, Status: 200, Header: asJSON(), Body: `{"code":200,"message":"User has been updated"}`}
}

func asJSON() http.Header { return http.Header{"Content-Type": {"application/json"}} }

// requestFaults causes faults for the requests of one process, at all steps. One in twenty-five
// is a stray push, which no protocol can prevent.
func (s *stage) requestFaults(ctx context.Context, of *process, rng *rand.Rand) {
	all := troubles()
	for ctx.Err() == nil {
		s.breathe(ctx, rng, 700*time.Millisecond)
		var t *trap
		if what := all[rng.IntN(len(all))]; rng.IntN(25) > 0 {
			t = s.trouble(of, what, rng)
		} else {
			t = s.stray(of, rng)
		}
		t.await(ctx, time.Second)
		t.take()
	}
}

func (s *stage) trouble(of *process, what trouble, rng *rand.Rand) *trap {
	gates := of.atVault
	if what.mailu {
		gates = of.atMailu
	}
	return lay(gates, s.victim(what, rng), what.fault(rng), func(m sighting) { s.strike(m, what.name) })
}

// victim selects the next request or, equally often, the next one of some step.
func (s *stage) victim(t trouble, rng *rand.Rand) func(sighting) bool {
	if t.only != "" {
		return isStep(t.only)
	}
	if rng.IntN(2) == 0 {
		return func(sighting) bool { return true }
	}
	for {
		if what := steps()[rng.IntN(len(steps()))]; what.atMailu() == t.mailu {
			return isStep(what)
		}
	}
}

func (s *stage) strike(m sighting, name string) {
	s.tally.add("faults", name)
	if t := s.byID[m.tenant]; t != nil {
		t.note(fmt.Sprintf("chaos  %s, %s", m.step, name))
	}
}

// stray delays the effect of a push until its claim has expired, long after its process
// has received an error. Its consequences are excused, and counted.
func (s *stage) stray(of *process, rng *rand.Rand) *trap {
	delay := steppedClaimTTL + between(rng, 0, claimTTL)
	fault := faultproxy.Fault{Kind: faultproxy.LateEffect, Delay: delay}
	return lay(of.atMailu, isStep(push), fault, func(m sighting) {
		t := s.byID[m.tenant]
		if t == nil {
			return
		}
		comes := time.Now().Add(delay)
		t.excuse(excuse{from: comes, to: comes.Add(2 * time.Second), password: m.password})
		s.strike(m, stray)
	})
}

const stray = "mailu: the effect comes after the claim (no promise)"
