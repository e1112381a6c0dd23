package sweep_test

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// Durations of calls of a healthy server, as observed, and of one at 100 times its
// latency.
const (
	healthyAsk  = 10 * time.Millisecond
	healthyPush = 300 * time.Millisecond
	slowness    = 100
)

// loads are slow servers beside three healthy ones, without canaries: each slow one has
// four tenants in flight from the start, in total at least as many as there are
// workers.
var loads = []struct{ slow, workers int }{{1, 2}, {4, 16}, {20, 16}}

func TestHealthyServersFinishInTheTimeTheyNeedAlone(t *testing.T) {
	for _, load := range loads {
		t.Run(fmt.Sprintf("%d slow servers, %d workers", load.slow, load.workers), func(t *testing.T) {
			alone := sweepUnderLoad(t, load.workers, 0)

			beside := sweepUnderLoad(t, load.workers, load.slow)

			if !slices.Equal(alone, beside) || len(alone) != 18 {
				t.Errorf("alone they were done after\n%v\nbeside slow servers after\n%v", alone, beside)
			}
		})
	}
}

func TestHealthyServersAreVerifiedInTheTimeTheyNeedAlone(t *testing.T) {
	for _, load := range loads {
		t.Run(fmt.Sprintf("%d slow servers, %d workers", load.slow, load.workers), func(t *testing.T) {
			alone := verifyUnderLoad(t, load.workers, 0)

			beside := verifyUnderLoad(t, load.workers, load.slow)

			if !slices.Equal(alone, beside) || len(alone) != 18 {
				t.Errorf("alone they were done after\n%v\nbeside slow servers after\n%v", alone, beside)
			}
		})
	}
}

// A server that never answers is the worst kind of slow one: every call lasts until the
// client gives up.
func TestHealthyServersFinishBesideDeadOnesInTheTimeTheyNeedAlone(t *testing.T) {
	alone := sweepUnderLoad(t, 4, 0)

	beside := map[string]time.Duration{}
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sweep.Workers, f.sweep.Canary = 4, false
		f.addServers(10)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if isSlow(c.User) {
				time.Sleep(90 * time.Second)
				return rotatortest.Fault{Before: rotatortest.ErrLost}
			}
			return latency(c)
		}
		f.watch(rotator.TenantDone, beside)

		f.run(t, sweep.Selection{})
	})

	if !slices.Equal(alone, inOrder(beside)) {
		t.Errorf("alone they were done after\n%v\nbeside dead servers after\n%v", alone, beside)
	}
}

// A server's queue limits what is in flight there, so the number of servers limits the
// goroutines, however many tenants wait.
func TestGoroutinesAreBoundedByTheServersAndNotByTheTenants(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		const servers, width = 4, 4
		before, most := runtime.NumGoroutine(), 0
		f.addServers(1)
		for n := range 60 {
			f.add(serverA, 200+n)
		}
		var mu sync.Mutex
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			mu.Lock()
			most = max(most, runtime.NumGoroutine()-before)
			mu.Unlock()
			return latency(c)
		}

		f.run(t, sweep.Selection{All: true})

		// One for each queue, and the readers of the scan at the start.
		if limit := servers*(1+width) + f.sweep.Workers; most > limit {
			t.Errorf("%d goroutines for %d servers, want %d at most", most, servers, limit)
		}
	})
}

// inOrder sorts the times without their tenants: among tenants that reach a server at the
// same instant the order is random.
func inOrder(done map[string]time.Duration) []time.Duration { return slices.Sorted(maps.Values(done)) }

// sweepUnderLoad returns when the tenants of the healthy servers were done.
func sweepUnderLoad(t *testing.T, workers, slow int) []time.Duration {
	t.Helper()
	done := map[string]time.Duration{}
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sweep.Workers, f.sweep.Canary = workers, false
		f.addServers(slow)
		f.fault = latency
		f.watch(rotator.TenantDone, done)

		report := f.run(t, sweep.Selection{})

		for _, row := range report.Rows {
			if row.Outcome != rotator.Rotated {
				t.Errorf("%s: %s (%s)", row.Tenant, row.Outcome, row.Reason)
			}
		}
	})
	return inOrder(done)
}

func verifyUnderLoad(t *testing.T, workers, slow int) []time.Duration {
	t.Helper()
	done := map[string]time.Duration{}
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sweep.Workers, f.sweep.Canary = workers, false
		for _, n := range f.addServers(slow) {
			f.setCurrent(t, n, "old password")
		}
		f.fault = latency
		f.watch(rotator.TenantVerified, done)

		if v := f.verify(t, false); v.Problems() > 0 {
			t.Errorf("%d problems", v.Problems())
		}
	})
	return inOrder(done)
}

// addServers adds three healthy servers with six tenants each, and that many slow ones
// with four each, whose tenants are older and come first. It returns the numbers of all
// tenants.
func (f *fleet) addServers(slow int) (numbers []int) {
	add := func(origin string, from, n int) {
		f.mailu.Origins = append(f.mailu.Origins, rotator.Origin(origin))
		for i := range n {
			f.add(rotator.Origin(origin), from+i)
			numbers = append(numbers, from+i)
		}
	}
	for i := range slow {
		add(fmt.Sprintf("https://slow%d.example", i), 4*i, 4)
	}
	for i := range 3 {
		add(fmt.Sprintf("https://healthy%d.example", i), healthyFrom+6*i, 6)
	}
	return numbers
}

// healthyFrom is the number of the first tenant of a healthy server; those of slow ones
// are below it.
const healthyFrom = 150

func isSlow(user string) bool {
	var n int
	_, err := fmt.Sscanf(user, "admin@%d.example", &n)
	return err == nil && n < healthyFrom
}

// latency returns the delay of a healthy server or a slow one. The store answers
// immediately: its time is shared by all and independent of Mailu's.
func latency(c rotatortest.Call) rotatortest.Fault {
	took := map[rotatortest.Op]time.Duration{
		rotatortest.OpKnows: healthyAsk, rotatortest.OpVerify: healthyAsk, rotatortest.OpSetPassword: healthyPush,
	}[c.Op]
	if isSlow(c.User) {
		took *= slowness
	}
	time.Sleep(took)
	return rotatortest.Fault{}
}

// watch records when the tenants of healthy servers had the event.
func (f *fleet) watch(name rotator.EventName, when map[string]time.Duration) {
	observe := f.sweep.Observe
	f.sweep.Observe = func(e rotator.Event) {
		observe(e)
		if e.Name != name || strings.Contains(string(e.Origin), "slow") {
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		when[e.Tenant] = time.Since(f.began)
	}
}
