package simulation_test

import (
	"bytes"
	"testing"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator/simulation"
)

// The fast envelope makes no difference: with the real one schedules are identical, to
// the last line of the world's description after each step.
func TestTheRealEnvelopeMakesNoDifference(t *testing.T) {
	ring, err := crypto.NewKeyring(map[crypto.KeyVersion][]byte{1: bytes.Repeat([]byte{1}, crypto.KeySize)})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		nth  int
		fate simulation.Fate
	}{
		{"nothing fails", 0, simulation.OK},
		{"prepare dies", 3, simulation.DiesAfter},
		{"push lost", 4, simulation.LostAfter},
		{"push dies", 4, simulation.DiesWhile},
		{"commit repeated", 6, simulation.LandedConflict},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fast := simulation.Scenario{Processes: processes(daemon(2), runNow(1))}
			real := fast
			real.Envelope = ring

			fastSchedule, fastBroken := simulation.Play(fast, test.nth, test.fate)
			realSchedule, realBroken := simulation.Play(real, test.nth, test.fate)

			if fastBroken != "" || realBroken != "" {
				t.Errorf("broken: %q and %q", fastBroken, realBroken)
			}
			if fastSchedule != realSchedule {
				t.Errorf("fast:\n%s\nreal:\n%s", fastSchedule, realSchedule)
			}
		})
	}
}
