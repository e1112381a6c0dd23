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
		want            uint64 // bytes of garbage
	}{
		{"nothing yet", 0, 0, 4 * mb},
		{"a small heap", 3 * mb, 1 * mb, 4 * mb},
		{"all of it is looked through", 40 * mb, 40 * mb, 40 * mb},
		{"a million tenants", 100 * mb, 5 * mb, 5 * mb},
		{"stacks may be counted besides", 10 * mb, 12 * mb, 10 * mb},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			percent := garbagePercent(test.live, test.scannable)

			got := max(test.live, 4*mb) * uint64(percent) / 100
			if got > test.want || got < test.want-test.want/50-mb {
				t.Errorf("%d %% allow %d bytes, want %d", percent, got, test.want)
			}
		})
	}
}

func TestEachCollectionIsFollowedByAnother(t *testing.T) {
	collected := make(chan struct{}, 100)
	afterEachCollection(func() {
		select {
		case collected <- struct{}{}:
		default: // this test is over
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
