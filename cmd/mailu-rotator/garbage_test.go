package main

import (
	"runtime"
	"testing"
	"time"
)

func TestGarbageIsMeasuredByWhatIsLookedThrough(t *testing.T) {
	const mb = 1 << 20
	tests := []struct {
		name            string
		live, scannable uint64
		want            int
	}{
		{"nothing yet", 0, 0, 200},
		{"a small heap", 3 * mb, 1 * mb, 200},
		{"twice the least garbage", 16 * mb, 4 * mb, 50},
		{"all of it is looked through", 40 * mb, 40 * mb, 100},
		{"a million tenants", 100 * mb, 5 * mb, 8},
		{"more is looked through than was left", 10 * mb, 12 * mb, 100},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := garbagePercent(test.live, test.scannable); got != test.want {
				t.Errorf("got %d %%, want %d", got, test.want)
			}
		})
	}
}

func TestEachCollectionIsFollowedByAnother(t *testing.T) {
	collected := make(chan struct{}, 100)
	afterEachCollection(func() {
		select {
		case collected <- struct{}{}:
		default: // this test has ended
		}
	})

	for n := range 3 {
		runtime.GC()
		select {
		case <-collected:
		case <-time.After(time.Minute):
			t.Fatalf("not told of collection %d", n+1)
		}
	}
}
