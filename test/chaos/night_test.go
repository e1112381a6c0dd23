package main

import (
	"testing"
	"time"
)

func TestANightHasOneRotationInItsWindow(t *testing.T) {
	n := night{tick: second(100), every: time.Minute}
	opens, closes := n.tick, n.tick.Add(nightJitter+nightWindow)
	tests := []struct {
		name  string
		begun []time.Time
		want  string
	}{
		{"at the tick", []time.Time{opens}, ""},
		{"at the end of the window", []time.Time{closes}, ""},
		{"never", nil, missedNight},
		{"before the tick", []time.Time{opens.Add(-time.Millisecond)}, "was rotated at 00:01:39.999, outside of the night"},
		{"after the window", []time.Time{closes.Add(time.Millisecond)}, "was rotated at 00:02:14.001, outside of the night"},
		{"twice", []time.Time{opens, closes}, "was rotated 2 times in one night"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := n.judge(test.begun); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// The tick is a whole multiple, as the program counts it, and no other tick is near.
func TestANightBeginsSoonAndStandsAlone(t *testing.T) {
	for i := range 1000 {
		moment := time.Date(2026, 11, 29, 0, 0, i, i*1000, time.UTC)

		n := nightAfter(moment)

		if wait := n.tick.Sub(moment); wait <= 0 || wait > 20*time.Second {
			t.Errorf("from %s the tick comes after %s", moment, wait)
		}
		if n.tick.Truncate(n.every) != n.tick || n.every < time.Minute {
			t.Errorf("@every %s does not come at %s", n.every, n.tick)
		}
	}
}
