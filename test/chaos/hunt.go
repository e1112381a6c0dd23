package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"mailu-rotator/test/faultproxy"
)

// place is the moment within a request at which the process dies.
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

// possible: only a request that changes something can die under way. What NATS has
// answered is not awaited.
func (k kill) possible() bool {
	if k.atNATS() {
		return k.place != after
	}
	return k.step != other && (k.place != underWay || k.step.changes())
}

func (k kill) String() string { return fmt.Sprintf("%s, %s", k.step, k.place) }

// kills are all combinations to try with the process.
func (p *process) kills() []kill {
	var all []kill
	for _, what := range p.steps() {
		for _, where := range []place{before, underWay, after} {
			if k := (kill{what, where}); k.possible() {
				all = append(all, k)
			}
		}
	}
	return all
}

// The ways to end a process without waiting for a request.
const (
	anyMoment = "any moment"
	sigterm   = "any moment, by SIGTERM"
)

// hunters kill one process again and again. If the process does not reach
// the awaited step it is killed anyway, since it may wait for something longer than
// this run; its next life then gets more time, so that a slow machine reaches every
// step.
func (s *stage) hunters(ctx context.Context, of *process, rng *rand.Rand) {
	const least, most = 2 * time.Second, 30 * time.Second
	places := []place{before, underWay, after}
	for patience := least; ctx.Err() == nil; {
		s.breathe(ctx, rng, s.calm(of))
		if of.stopped.Load() { // it is to go on
			continue
		}
		if rng.IntN(6) > 0 && s.hunt(ctx, of, places[rng.IntN(len(places))], patience, rng) {
			patience = least
			continue
		}
		how, end := anyMoment, of.kill
		if rng.IntN(3) == 0 {
			how, end = sigterm, of.tell
		}
		if !of.stopped.Load() && end() {
			s.tally.add("kills", how)
		}
		patience = min(2*patience, most)
	}
}

// hunt waits for one of the least struck steps in this place.
func (s *stage) hunt(ctx context.Context, of *process, where place, patience time.Duration, rng *rand.Rand) (struck bool) {
	fault := faultproxy.Fault{Kind: faultproxy.ResetBefore}
	switch where {
	case after:
		fault.Kind = faultproxy.ResetAfter
	case underWay:
		fault.Kind, fault.Delay = faultproxy.LateEffect, between(rng, 0, lateAtMost)
	}
	if s.rare(of, kill{abandon, where}) {
		// Only a certainly refused push is abandoned.
		refusal := lay(of.atMailu, isStep(push), refused(), func(m sighting) { s.strike(m, "mailu: refused (400)") })
		defer refusal.take()
	}
	wanted := func(m sighting) bool {
		k := kill{m.step, where}
		return k.possible() && s.rare(of, k)
	}
	struckAt := func(m sighting) {
		of.kill()
		k := kill{m.step, where}
		s.tally.add("kills", k.String())
		s.tally.add("killed at", string(k.step))
		if t := s.byID[m.tenant]; t != nil {
			t.note(fmt.Sprintf("chaos  %s is killed: %s", of.name, k))
		}
	}
	trap := lay(of.gates, wanted, fault, struckAt)
	if of.link != nil {
		trap.layAt(of.link, func(what step) bool { return wanted(sighting{step: what}) }, where == underWay, struckAt)
	}
	defer trap.take()
	return trap.await(ctx, patience)
}

// rare reports whether the step is among the least struck of the process's in this place.
func (s *stage) rare(of *process, k kill) bool {
	struck, all := s.tally.of("kills", k.String()), of.kills()
	if !slices.Contains(all, k) {
		return false
	}
	for _, other := range all {
		if other.place == k.place && s.tally.of("kills", other.String()) < struck {
			return false
		}
	}
	return true
}

func isStep(what step) func(sighting) bool {
	return func(m sighting) bool { return m.step == what }
}

// between is a random time from low to high.
func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Int64N(int64(high-low)+1))
}
