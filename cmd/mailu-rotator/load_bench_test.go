package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailu-rotator/mailu/mailutest"
)

// The observed cost of a hashing in Mailu, and that of a slow server.
const (
	hashing     = 300 * time.Millisecond
	slowHashing = 100 * hashing
)

// BenchmarkUnderLoad runs the real program on a real Vault and Mailu servers,
// alone and beside slow ones in turn. `make bench-load` runs it with -benchtime
// 1x. Where a run is short the quickest of three counts, since what else the
// machine does only ever adds to it.
//
// healthy-alone-s and healthy-beside-s are the times from the start of the
// program until the last tenant of the healthy servers was done.
func BenchmarkUnderLoad(b *testing.B) {
	for _, load := range []struct{ tenants, slow, rounds int }{{100, 1, 3}, {100, 20, 3}, {1000, 1, 1}} {
		b.Run(fmt.Sprintf("tenants=%d/slow=%d", load.tenants, load.slow), func(b *testing.B) {
			alone, beside := runUnderLoad(b, load.tenants, 0), runUnderLoad(b, load.tenants, load.slow)
			for range load.rounds - 1 {
				alone = alone.or(runUnderLoad(b, load.tenants, 0))
				beside = beside.or(runUnderLoad(b, load.tenants, load.slow))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(alone.took.Seconds(), "healthy-alone-s")
			b.ReportMetric(beside.took.Seconds(), "healthy-beside-s")
			b.ReportMetric(beside.took.Seconds()/alone.took.Seconds(), "ratio")
			b.ReportMetric(alone.peak, "peak-alone-MiB")
			b.ReportMetric(beside.peak, "peak-beside-MiB")
			b.ReportMetric(alone.vault, "vault-requests/tenant")
			b.ReportMetric(alone.mailu, "mailu-requests/tenant")
		})
	}
}

// loadResult is what one run of the program came to.
type loadResult struct {
	took         time.Duration // until the last healthy tenant was done
	peak         float64       // memory in MiB
	vault, mailu float64       // requests for each healthy tenant
}

// or is the quicker one, with the higher peak of both.
func (r loadResult) or(other loadResult) loadResult {
	if other.took < r.took {
		r, other = other, r
	}
	r.peak = max(r.peak, other.peak)
	return r
}

// healthyServers share the tenants of a run evenly. They take more at a time
// than the program has workers.
const healthyServers = 8

// runUnderLoad measures one run with so many tenants on healthy servers, and
// eight more on each of the slow ones. Without canaries the slow ones have all
// in flight that they are sent at a time, from the beginning.
func runUnderLoad(b *testing.B, tenants, slow int) loadResult {
	b.Helper()
	s := shared.newSite(b.TempDir())
	must(b, s.provision(b.Context()))
	b.Cleanup(s.closeMailus)
	for i := range healthyServers + slow {
		takes := hashing
		if i >= healthyServers {
			takes = slowHashing
		}
		_, err := s.startMailuWith(fmt.Sprintf("mailu%d", i), mailutest.Config{HashDelay: takes})
		must(b, err)
	}
	for i := range tenants + 8*slow {
		server, age := i%healthyServers, "age=400"
		if i >= tenants {
			server, age = healthyServers+(i-tenants)/8, "age=500" // older, so first
		}
		must(b, s.seed(b.Context(), fmt.Sprintf("tenant%04d", i), fmt.Sprintf("mailu=mailu%d", server), age))
	}
	proxy := s.interpose(b)
	must(b, s.writeConfig("log.level=debug", "rotation.canary=false", "server.timeout=2m"))

	begun := time.Now()
	run := s.start(b, "--run-now")
	last, peak := s.awaitDone(b, run, tenants)
	result := loadResult{took: last.Sub(begun), peak: peak}
	result.vault = float64(s.countVault(proxy)) / float64(tenants)
	for _, m := range s.mailus[:healthyServers] {
		result.mailu += float64(m.Count("")) / float64(tenants)
	}
	_ = run.cmd.Process.Kill() // it may have ended
	<-run.ended
	return result
}

// awaitDone returns when the last of so many tenants on healthy servers was
// done, and the peak of memory until then. It looks seldom, not to take the
// processor from the program.
func (s *site) awaitDone(b *testing.B, run *program, tenants int) (last time.Time, peak float64) {
	b.Helper()
	for ended := false; ; {
		last, err := lastDone(run.stderr.String(), s.mailus[:healthyServers], tenants)
		if !ended {
			peak = max(peak, peakMemory(run))
		}
		switch {
		case err == nil:
			return last, peak
		case ended:
			b.Fatalf("the program ended: %v", err)
		}
		select {
		case <-run.ended:
			ended = true
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// lastDone is when the last of so many tenants on these servers was rotated.
func lastDone(log string, servers []*mailuServer, tenants int) (last time.Time, err error) {
	origins := map[string]bool{}
	for _, m := range servers {
		origins[m.Origin()] = true
	}
	done := 0
	for line := range strings.Lines(log) {
		var event struct {
			Msg, Origin, Outcome string
			Time                 time.Time
		}
		if json.Unmarshal([]byte(line), &event) != nil || event.Msg != "tenant done" || !origins[event.Origin] {
			continue
		}
		if event.Outcome != "rotated" {
			return last, fmt.Errorf("not rotated: %s", line)
		}
		done, last = done+1, event.Time
	}
	if done < tenants {
		return last, fmt.Errorf("%d of %d are done", done, tenants)
	}
	return last, nil
}

// peakMemory is the most that the program has had in memory, in MiB; 0 for one
// that has just ended.
func peakMemory(p *program) float64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if found == nil {
		return 0
	}
	kib, _ := strconv.Atoi(string(found[1])) // digits
	return float64(kib) / 1024
}
