package hook

import (
	"encoding/json"
	"testing"

	"mailu-rotator/rotator"
)

// Nothing takes jobs from this runner: the queue only grows.
func TestFullQueueDropsTenantsAndTellsTheRunHowMany(t *testing.T) {
	argv := []string{"/bin/true"}
	r := newRunner(rotator.SystemClock{}, Settings{Programs: map[Name][]string{AfterRotation: argv, AfterRun: argv}})
	const more = 7

	r.Observe(rotator.Event{Name: rotator.SweepStarted})
	for range maxQueued + more {
		r.Observe(rotator.Event{Name: rotator.TenantDone, Outcome: rotator.Rotated})
	}
	r.Observe(rotator.Event{Name: rotator.SweepFinished})
	r.Observe(rotator.Event{Name: rotator.SweepFinished})

	if len(r.queue) != maxQueued+2 || r.dropped != more {
		t.Fatalf("%d queued, %d dropped; want %d and %d", len(r.queue), r.dropped, maxQueued+2, more)
	}
	for i, want := range []int{more, 0} {
		var got Document
		if err := json.Unmarshal(r.queue[maxQueued+i].document, &got); err != nil {
			t.Fatal(err)
		}
		if got.Run == nil || got.Run.Dropped != want || got.Run.Counts["rotated"] != maxQueued+more {
			t.Errorf("run %d tells %+v; want %d dropped", i, got.Run, want)
		}
	}
}

func TestRunsHaveABoundAsWell(t *testing.T) {
	r := newRunner(rotator.SystemClock{}, Settings{Programs: map[Name][]string{AfterRun: {"/bin/true"}}})

	for range maxQueued + roomForRuns + 3 {
		r.Observe(rotator.Event{Name: rotator.SweepFinished})
	}

	if len(r.queue) != maxQueued+roomForRuns || r.dropped != 3 {
		t.Errorf("%d queued, %d dropped", len(r.queue), r.dropped)
	}
}
