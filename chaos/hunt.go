package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"mailu-rotator/internal/faultproxy"
)

// place is where in a request the process dies.
type place string

const (
	before   place = "before"    // the server never sees the request
	underWay place = "under way" // the server sees it, a moment after the death
	after    place = "after"     // its effect has happened
)

// kill is a step and the place in it.
type kill struct {
	step
	place
}

func (k kill) String() string { return fmt.Sprintf("%s, %s", k.step, k.place) }

// kills are all that have to be tried.
func kills() []kill {
	var all []kill
	for _, what := range steps() {
		all = append(all, kill{what, before}, kill{what, after})
		if what.changes() {
			all = append(all, kill{what, underWay})
		}
	}
	return all
}

// hunters kill processes, mostly where it has been done least so far.
type hunters struct {
	*stage
	mu     sync.Mutex // guards struck
	struck map[kill]int
}

// run kills the process of one slot again and again.
func (h *hunters) run(ctx context.Context, s *slot, rng *rand.Rand) {
	for ctx.Err() == nil {
		pause(ctx, between(rng, 100*time.Millisecond, 1500*time.Millisecond))
		if rng.IntN(5) == 0 {
			if s.kill() {
				h.tally.add("kills", anyMoment)
			}
			continue
		}
		h.hunt(ctx, s, h.choose(rng), rng)
	}
}

const anyMoment = "any moment"

// choose takes the rarer of two.
func (h *hunters) choose(rng *rand.Rand) kill {
	all := kills()
	a, b := all[rng.IntN(len(all))], all[rng.IntN(len(all))]
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.struck[b] < h.struck[a] {
		return b
	}
	return a
}

func (h *hunters) hunt(ctx context.Context, s *slot, k kill, rng *rand.Rand) {
	fault := faultproxy.Fault{Kind: faultproxy.ResetBefore}
	switch k.place {
	case after:
		fault.Kind = faultproxy.ResetAfter
	case underWay:
		fault.Kind, fault.Delay = faultproxy.LateEffect, between(rng, 0, lateAtMost)
	}
	if k.step == abandon {
		// Only a push that was refused for certain is abandoned.
		refusal := lay(s.gates[1:], isStep(push), refused(), func(m sighting) { h.strike(m, "mailu: refused (400)") })
		defer refusal.take()
	}
	trap := lay(s.gatesOf(k.step), isStep(k.step), fault, func(m sighting) {
		s.kill()
		h.count(k)
		if t := h.byID[m.tenant]; t != nil {
			t.note(fmt.Sprintf("chaos  %s is killed: %s", s.name, k))
		}
	})
	trap.await(ctx, 2*time.Second)
	trap.take()
}

func (h *hunters) count(k kill) {
	h.tally.add("kills", k.String())
	h.mu.Lock()
	defer h.mu.Unlock()
	h.struck[k]++
}

// complete tells whether every kill has happened.
func (h *hunters) complete() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.struck) == len(kills())
}

func isStep(what step) func(sighting) bool {
	return func(m sighting) bool { return m.step == what }
}

// between is a random time from low to high.
func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Int64N(int64(high-low)+1))
}
