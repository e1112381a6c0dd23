package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// boundGarbage sizes a daemon's garbage by the scannable part of the heap instead of
// the whole heap, which is the collector's default. In a large fleet most of the heap
// is the board's tenants, which contain no pointers to scan; with a million tenants the
// default would let the heap double before a collection. The cost of collecting is that
// of a heap without them.
//
// It does nothing if the operator has set GOGC.
func boundGarbage() {
	if os.Getenv("GOGC") != "" {
		return
	}
	afterEachCollection(func() { debug.SetGCPercent(garbagePercent(heap())) })
}

const (
	// minGarbage, in bytes, is always allowed. With half of that, Go's default, a sweep
	// over a small fleet spends a tenth of its time collecting.
	minGarbage = 8 << 20
	// maxPercent makes it the minimum heap size, which is 4 MiB at 100.
	maxPercent = 200
)

// garbagePercent is the allowed garbage, as a percentage of the live heap.
func garbagePercent(live, scannable uint64) int {
	garbage := max(min(scannable, live), minGarbage)
	return int(min(100*garbage/max(live, 1), maxPercent))
}

// heap returns the live heap after the last collection, and its scannable part, in
// bytes.
func heap() (live, scannable uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}

// afterEachCollection calls f on a goroutine of the runtime after each collection,
// until the process ends.
func afterEachCollection(f func()) {
	runtime.AddCleanup(new([64]byte), func(f func()) {
		afterEachCollection(f)
		f()
	}, f)
}
