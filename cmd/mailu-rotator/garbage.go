package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// boundGarbage lets a daemon's garbage grow to what the collector has to look
// through, and not to what there is. The collector's own measure is the whole
// heap; the tenants on the board are most of that in a large fleet and hold
// nothing to look through, so a million of them would be there twice before
// anything was collected. It costs what collecting a heap without them costs.
//
// An operator who has set GOGC knows better.
func boundGarbage() {
	if os.Getenv("GOGC") != "" {
		return
	}
	afterEachCollection(func() { debug.SetGCPercent(garbagePercent(heap())) })
}

const (
	// minGarbage, in bytes, is always allowed. With half of that, which is Go's
	// own measure, a sweep over a small fleet spends a tenth of its time collecting.
	minGarbage = 8 << 20
	// maxPercent makes it the least size of a heap, which Go takes for 4 MiB at 100.
	maxPercent = 200
)

// garbagePercent is how much garbage may be there, as a percentage of the heap
// that is in use.
func garbagePercent(live, scannable uint64) int {
	garbage := max(min(scannable, live), minGarbage)
	return int(min(100*garbage/max(live, 1), maxPercent))
}

// heap is what the last collection has left, and how much of that is looked
// through, in bytes.
func heap() (live, scannable uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}

// afterEachCollection calls f on a goroutine of the runtime, as long as the
// process lives.
func afterEachCollection(f func()) {
	runtime.AddCleanup(new([64]byte), func(f func()) {
		afterEachCollection(f)
		f()
	}, f)
}
