package rotator

import (
	"slices"
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
		want   []time.Duration // in halves of a second
	}{
		"least":  {0, []time.Duration{1, 2, 4, 8, 10, 10}},
		"middle": {0.5, []time.Duration{2, 4, 8, 16, 20, 20}},
		"most":   {1, []time.Duration{3, 6, 12, 24, 30, 30}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for i := range test.want {
				test.want[i] *= time.Second / 2
			}

			if got := pausesOf(test.random); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
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
