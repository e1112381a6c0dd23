package sweep

import (
	"fmt"
	"testing"
	"time"
)

// pausesOf returns the first pauses of a backoff from one to ten seconds whose random
// numbers are all the same.
func pausesOf(random float64) []time.Duration {
	b := newBackoff(time.Second, 10*time.Second)
	b.random = func() float64 { return random }
	var pauses []time.Duration
	for range 6 {
		pauses = append(pauses, b.next())
	}
	return pauses
}

func TestBackoffDoublesUpToTheLongestWithJitter(t *testing.T) {
	tests := map[string]struct {
		random float64
		want   string
	}{
		"least":  {0, "[500ms 1s 2s 4s 5s 5s]"},
		"middle": {0.5, "[1s 2s 4s 8s 10s 10s]"},
		"most":   {1, "[1.5s 3s 6s 12s 15s 15s]"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := fmt.Sprint(pausesOf(test.random)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestBackoffStartsAgainAfterAReset(t *testing.T) {
	b := newBackoff(time.Second, 10*time.Second)
	b.random = func() float64 { return 0.5 }
	b.next()
	b.next()

	b.reset()

	if pause := b.next(); pause != time.Second {
		t.Errorf("got %s, want the first pause", pause)
	}
}

func TestBackoffsOfTwoHostsDiffer(t *testing.T) {
	a, b := newBackoff(time.Minute, time.Hour), newBackoff(time.Minute, time.Hour)

	if first, second := a.next(), b.next(); first == second {
		t.Errorf("both waited %s", first)
	}
}
