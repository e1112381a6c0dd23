package simulation_test

import (
	"os"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"mailu-rotator/rotator/simulation"
)

// bound is the size of the exploration.
type bound int

const (
	small  bound = iota // with the race detector, which makes it ten times as slow, and with -short
	normal              // about a minute of one core; used by `make test`
	large               // by hand: MAILU_ROTATOR_SIMULATION=large go test -timeout 2h -v ./rotator/simulation
)

func boundOf(t *testing.T) bound {
	t.Helper()
	switch {
	case os.Getenv("MAILU_ROTATOR_SIMULATION") == "large":
		return large
	case raceDetector || testing.Short():
		return small
	}
	return normal
}

// upTo returns the number of faults for each bound.
func (b bound) upTo(small, normal, large int) int { return [...]int{small, normal, large}[b] }

// only restricts the fates, except at the large bound.
func (b bound) only(some func(simulation.Call, simulation.Fate) bool) func(simulation.Call, simulation.Fate) bool {
	if b == large {
		return nil
	}
	return some
}

// Whatever fails, stalls, dies and coincides: Mailu accepts a password that Vault
// holds, except for the exemptions in the package comment.
func TestNoScheduleBreaksTheProtocol(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // replays leave much garbage and keep little
	b := boundOf(t)
	var results []simulation.Result
	for _, s := range slices.Concat(oneRotation(b), interleavings(b), operators(b), stalls(b), additions(b), reseals(b)) {
		t.Run(s.Name, func(t *testing.T) {
			began := time.Now()

			result := simulation.Explore(s)

			t.Logf("%d states in %s", result.States, time.Since(began).Round(time.Millisecond))
			if result.Violation != nil {
				t.Errorf("after %d states: %s", result.States, result.Violation)
			}
			results = append(results, result)
		})
	}
	t.Log("\n" + simulation.Table(results))
}
