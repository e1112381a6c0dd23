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

// possible: what changes nothing cannot be under way.
func (k kill) possible() bool {
	return k.step != other && (k.place != underWay || k.step.changes())
}

func (k kill) String() string { return fmt.Sprintf("%s, %s", k.step, k.place) }

// kills are all that have to be tried.
func kills() []kill {
	var all []kill
	for _, what := range steps() {
		for _, where := range []place{before, underWay, after} {
			if k := (kill{what, where}); k.possible() {
				all = append(all, k)
			}
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

// anyMoment is the kill that waits for no request.
const anyMoment = "any moment"

// run kills the process of one slot again and again.
func (h *hunters) run(ctx context.Context, s *slot, rng *rand.Rand) {
	places := []place{before, underWay, after}
	for ctx.Err() == nil {
		pause(ctx, h.breath(rng))
		if rng.IntN(6) > 0 && h.hunt(ctx, s, places[rng.IntN(len(places))], rng) {
			continue
		}
		// Or it waits for something, and longer than this run does.
		if s.kill() {
			h.tally.add("kills", anyMoment)
		}
	}
}

// breath is how long a process is left to its work: long enough to rotate many
// tenants, once every kill has been seen.
func (h *hunters) breath(rng *rand.Rand) time.Duration {
	if h.complete() {
		return between(rng, 500*time.Millisecond, 6*time.Second)
	}
	return between(rng, 100*time.Millisecond, time.Second)
}

// hunt waits a moment for a step that was struck the least in this place, and
// another moment for whatever comes.
func (h *hunters) hunt(ctx context.Context, s *slot, where place, rng *rand.Rand) (struck bool) {
	fault := faultproxy.Fault{Kind: faultproxy.ResetBefore}
	switch where {
	case after:
		fault.Kind = faultproxy.ResetAfter
	case underWay:
		fault.Kind, fault.Delay = faultproxy.LateEffect, between(rng, 0, lateAtMost)
	}
	if h.rare(kill{abandon, where}) {
		// Only a push that was refused for certain is abandoned.
		refusal := lay(s.gates[1:], isStep(push), refused(), func(m sighting) { h.strike(m, "mailu: refused (400)") })
		defer refusal.take()
	}
	choosy := time.Now().Add(time.Second)
	wanted := func(m sighting) bool {
		k := kill{m.step, where}
		return k.possible() && (time.Now().After(choosy) || h.rare(k))
	}
	trap := lay(s.gates, wanted, fault, func(m sighting) {
		s.kill()
		k := kill{m.step, where}
		h.count(k)
		if t := h.byID[m.tenant]; t != nil {
			t.note(fmt.Sprintf("chaos  %s is killed: %s", s.name, k))
		}
	})
	defer trap.take()
	return trap.await(ctx, 2*time.Second)
}

// rare tells the steps that were struck the least in this place.
func (h *hunters) rare(k kill) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	least := h.struck[k]
	for _, other := range kills() {
		if other.place == k.place {
			least = min(least, h.struck[other])
		}
	}
	return h.struck[k] == least
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
