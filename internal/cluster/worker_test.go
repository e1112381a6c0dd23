package cluster_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
)

func TestKilledWorkersTenantsAreFinishedOnce(t *testing.T) {
	f := newFleet(t)
	f.claimTTL = 3 * time.Second
	f.add(serverA, 0, 20)
	one := f.worker("one", serverA)
	f.once(userOf(8), func(*host) {
		f.awaitRest(5, 6, 7, 9) // the others of its batch
		one.kill()
	})
	wait := f.begin(t.Context(), "all-1", everything, 0)
	f.eventually("the first worker is dead", func() bool { return one.pass() != nil })
	died := time.Now()
	f.worker("two", serverA)

	report := wait()

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 19, rotator.Finished: 1})
	f.wantOncePushed(20)
	if took := time.Since(died); took < ackWait/2 {
		t.Errorf("the batch was given to another worker after %s", took)
	}
	for _, row := range report.Rows {
		if row.Outcome == rotator.Rotated && row.Reason != "asked for" {
			t.Errorf("%s: %q replaces the first worker's report", row.Tenant, row.Reason)
		}
	}
}

func TestWorkerThatStoodStillBeginsNothingMore(t *testing.T) {
	f := newFleet(t)
	f.claimTTL = 3 * time.Second
	f.add(serverA, 0, 20)
	link, url := f.nats.Link(t)
	one := f.workerAt([]string{url}, "one", serverA)
	f.once(userOf(6), func(h *host) {
		link.Cut()
		h.freeze()
	})
	wait := f.begin(t.Context(), "all-1", everything, 0)
	f.eventually("the first worker stands still", one.stands)
	f.worker("two", serverA)

	report := wait()

	done := report.Count(rotator.Rotated)
	want(t, report, map[rotator.Outcome]int{rotator.Rotated: done, rotator.Finished: 20 - done})
	f.wantOncePushed(20)
	before := f.count(func(c rotatortest.Call) bool { return c.Op == rotatortest.OpSetPassword })
	link.Heal()
	one.thaw()
	f.eventually("the first worker notices", f.noticed)
	if after := f.count(func(c rotatortest.Call) bool { return c.Op == rotatortest.OpSetPassword }); after != before {
		t.Errorf("%d more passwords were sent", after-before)
	}
	f.wantLimit()
}

func TestLateWorkerLeavesTheBatchWhereItIs(t *testing.T) {
	f := newFleet(t)
	f.claimTTL = 3 * time.Second
	f.add(serverA, 0, 5) // one batch
	link, url := f.nats.Link(t)
	one := f.workerAt([]string{url}, "one", serverA)
	f.once(userOf(2), func(h *host) {
		link.Cut()
		h.freeze()
	})
	wait := f.begin(t.Context(), "all-1", everything, 0)
	f.eventually("the first worker stands still", one.stands)
	taken, goOn := make(chan struct{}), make(chan struct{})
	take, resume := sync.OnceFunc(func() { close(taken) }), sync.OnceFunc(func() { close(goOn) })
	defer resume() // also where the test fails: else its end would wait for the worker
	f.mu.Lock()
	f.watch = func(h *host, _ rotatortest.Op, _ string) {
		if h.name == "two" {
			take()
			<-goOn
		}
	}
	f.mu.Unlock()
	f.worker("two", serverA)
	<-taken
	three := f.worker("three", serverA)

	link.Heal()
	one.thaw()

	f.eventually("the first worker notices", f.noticed)
	time.Sleep(time.Second)
	resume()
	wait()
	if three.opened.Load() > 0 {
		t.Error("a third worker got the batch of the second one")
	}
}

func TestWorkerWithoutVaultGivesTheBatchBack(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 10)
	w := f.worker("one", serverA)
	w.noVault.Store(true)
	wait := f.begin(t.Context(), "all-1", everything, 0)
	f.eventually("it says so", func() bool { return f.reports("batch given back") > 0 })
	w.noVault.Store(false)

	want(t, wait(), map[rotator.Outcome]int{rotator.Rotated: 10})
}

func TestBrokenWorkerLeavesBatchesToOthers(t *testing.T) {
	for name, broken := range map[string]func(*worker){
		"no Vault":  func(w *worker) { w.noVault.Store(true) },
		"no tokens": func(w *worker) { w.noTokens.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			f.config.AckWait = 40 * time.Second
			f.add(serverA, 0, 20)
			broken(f.worker("broken", serverA))
			f.worker("healthy", serverA)
			begun := time.Now()

			report := f.run(t.Context(), "all-1")

			want(t, report, map[rotator.Outcome]int{rotator.Rotated: 20})
			f.wantOncePushed(20)
			if took := time.Since(begun); took > 30*time.Second {
				t.Errorf("it took %s: the batch waited for the broken worker", took)
			}
		})
	}
}

func TestStoppedWorkerGivesItsBatchBackAtOnce(t *testing.T) {
	f := newFleet(t)
	f.config.AckWait = 40 * time.Second
	f.add(serverA, 0, 20)
	one := f.worker("one", serverA)
	f.once(userOf(6), func(*host) {
		go one.stop()
		time.Sleep(200 * time.Millisecond)
	})
	wait := f.begin(t.Context(), "all-1", everything, 0)
	f.eventually("the second batch has begun", func() bool { return f.pushed(6) })
	begun := time.Now()
	f.worker("two", serverA)

	report := wait()

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 20})
	f.wantOncePushed(20)
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("it took %s: the batch waited for the worker that had stopped", took)
	}
}

func TestServerWaitsForAWorkerThatRestarts(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 20)
	one := f.worker("one", serverA)
	f.once(userOf(6), func(*host) { go one.stop() })
	wait := f.begin(t.Context(), "all-1", everything, 0)
	f.eventually("it has begun", func() bool { return f.pushed(6) })
	one.stop()
	time.Sleep(6 * time.Second)
	f.worker("two", serverA)

	want(t, wait(), map[rotator.Outcome]int{rotator.Rotated: 20})
}

func TestStoppedWorkerKeepsItsBatchToTheEnd(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 5) // one batch
	one := f.worker("one", serverA)
	begun, passedOn := make(chan struct{}), make(chan bool, 1)
	var two atomic.Pointer[worker]
	f.once(userOf(0), func(*host) {
		close(begun)
		go one.stop()
		time.Sleep(ackWait * 3 / 2)
		passedOn <- two.Load().opened.Load() > 0
	})
	wait := f.begin(t.Context(), "all-1", everything, 0)
	<-begun
	two.Store(f.worker("two", serverA))

	want(t, wait(), map[rotator.Outcome]int{rotator.Rotated: 5})
	f.wantOncePushed(5)
	if <-passedOn {
		t.Error("another worker got the batch while a rotation was under way")
	}
}

func TestResultOfALaterDeliveryCounts(t *testing.T) {
	f := newFleet(t)
	f.config.AckWait = 20 * time.Second
	f.add(serverA, 0, 5) // one batch
	f.during(func(c rotatortest.Call) rotatortest.Fault {
		if c.User == userOf(0) {
			return rotatortest.Fault{Before: rotator.ErrRefused}
		}
		return rotatortest.Fault{}
	})
	one := f.worker("one", serverA)
	f.once(userOf(1), func(*host) {
		f.during(nil) // Mailu refuses the first user no longer
		go one.stop()
		time.Sleep(200 * time.Millisecond)
	})
	wait := f.begin(t.Context(), "all-1", everything, 0)
	f.eventually("the second tenant is rotated", func() bool { return f.pushed(1) })
	f.worker("two", serverA)

	want(t, wait(), map[rotator.Outcome]int{rotator.Rotated: 5})
}

func TestSlowBatchStaysWithItsWorker(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 3) // one batch
	one, two := f.worker("one", serverA), f.worker("two", serverA)
	f.once(userOf(1), func(*host) { time.Sleep(ackWait * 3 / 2) })

	report := f.run(t.Context(), "all-1")

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 3})
	if opened := one.opened.Load() + two.opened.Load(); opened != 1 {
		t.Errorf("%d workers had the batch, want one", opened)
	}
	if f.reports("another worker may have it") > 0 {
		t.Error("the worker did not acknowledge it")
	}
}

func TestBatchesOfAWorkerShareOneSession(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 12)
	f.add(serverB, 20, 12)
	w := f.worker("one", serverA, serverB)

	f.run(t.Context(), "all-1")

	w.stop()
	if opened, closed := w.opened.Load(), w.closed.Load(); opened != 1 || closed != 1 {
		t.Errorf("%d sessions opened, %d closed, want one", opened, closed)
	}
}

func TestIdleWorkerHoldsNoKeys(t *testing.T) {
	f := newFleet(t)
	f.config.Clock, f.config.AckWait = racingClock{time.Now()}, 20*time.Second
	f.add(serverA, 0, 5)
	w := f.worker("one", serverA)
	f.run(t.Context(), "all-1")

	f.eventually("the session is closed", func() bool { return w.closed.Load() == 1 })
}

// racingClock is ten times as fast.
type racingClock struct{ since time.Time }

func (c racingClock) Sleep(ctx context.Context, d time.Duration) error {
	return rotator.SystemClock{}.Sleep(ctx, d/10)
}

func (c racingClock) Now() time.Time { return c.since.Add(10 * time.Since(c.since)) }

func TestWorkerLeavesWhenItStops(t *testing.T) {
	f := newFleet(t)
	w := f.worker("one", serverA, serverB)
	f.worker("two", serverB)
	all, err := w.cluster.Workers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].Worker != "one" || all[1].Worker != "two" || !all[0].Lists(serverA) || all[1].Lists(serverA) ||
		all[0].Version != "test" || time.Since(all[0].Since) > time.Minute || time.Since(all[0].At) > time.Minute {
		t.Errorf("the workers are %+v", all)
	}

	w.stop()

	if all, err = f.open("observer").Workers(t.Context()); err != nil || len(all) != 1 || all[0].Worker != "two" {
		t.Errorf("the workers are %+v, error %v, want only the second one", all, err)
	}
}

func TestSignOfAWorkerLapses(t *testing.T) {
	f := newFleet(t)
	f.open("observer")

	status, err := f.jetStream().KeyValue(t.Context(), "MR_WORKERS")
	if err != nil {
		t.Fatal(err)
	}
	info, err := status.Status(t.Context())
	if err != nil || info.TTL() != time.Minute {
		t.Errorf("signs are kept %s, error %v, want a minute", info.TTL(), err)
	}
}

func TestOutageIsReportedOnce(t *testing.T) {
	f := newFleet(t)
	f.config.AckWait = 300 * time.Millisecond
	f.add(serverA, 0, 1)
	w := f.worker("one", serverA)
	w.noVault.Store(true)
	wait := f.begin(t.Context(), "all-1", everything, 0)
	time.Sleep(3 * time.Second)
	w.noVault.Store(false)

	want(t, wait(), map[rotator.Outcome]int{rotator.Rotated: 1})
	if n := f.reports("batch given back"); n != 1 {
		t.Errorf("%d reports, want 1", n)
	}
}

func TestWorkerMakesWhatNATSHasLost(t *testing.T) {
	for _, stream := range []string{"KV_MR_WORKERS", "MR_WORK"} {
		t.Run(stream, func(t *testing.T) {
			f := newFleet(t)
			f.config.Clock = racingClock{time.Now()}
			f.config.AckWait = 20 * time.Second
			observer := f.open("observer")
			f.worker("one", serverA)
			js := f.jetStream()

			f.must(js.DeleteStream(t.Context(), stream))

			if _, err := observer.Workers(t.Context()); err != nil {
				t.Error(err)
			}
			f.eventually("it exists again", func() bool {
				_, err := js.Stream(t.Context(), stream)
				return err == nil
			})
			f.eventually("the worker is there", func() bool {
				all, err := observer.Workers(t.Context())
				return err == nil && len(all) == 1
			})
		})
	}
}
