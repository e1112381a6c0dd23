package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"mailu-rotator/internal/cluster"
	"mailu-rotator/internal/cluster/natstest"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

func TestWorkersRotateTheWholeFleetOnce(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 12)
	f.add(serverB, 20, 12)
	f.worker("one", serverA, serverB)
	f.worker("two", serverA, serverB)

	report := f.run(t.Context(), "all-1")

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 24})
	f.wantOncePushed(24)
	for _, row := range report.Rows {
		if row.User == "" || row.Age < 0 || row.Age > time.Minute {
			t.Errorf("row %+v does not show the user and the new age", row)
		}
	}
}

func TestServerWithoutWorkerIsBlocked(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 3)
	f.add(serverB, 20, 3)
	f.worker("one", serverA)

	report := f.run(t.Context(), "all-1")

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 3, rotator.Blocked: 3})
	f.wantOncePushed(3)
}

func TestWorkersShareTheLimitOfAServer(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 30)
	for _, name := range []string{"one", "two", "three"} {
		f.worker(name, serverA)
	}
	f.during(func(rotatortest.Call) rotatortest.Fault {
		time.Sleep(5 * time.Millisecond)
		return rotatortest.Fault{}
	})

	report := f.run(t.Context(), "all-1")

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 30})
	f.wantLimit()
}

// refuseToken makes Mailu refuse the token.
func (f *fleet) refuseToken() {
	refused := errors.Join(errors.New("403 Invalid API token"), rotator.ErrServerUnusable)
	f.during(func(c rotatortest.Call) rotatortest.Fault {
		if c.User != "" {
			return rotatortest.Fault{Before: refused}
		}
		return rotatortest.Fault{}
	})
}

func (f *fleet) wantRequests(n int) {
	f.t.Helper()
	if asked := f.count(func(c rotatortest.Call) bool { return c.User != "" }); asked != n {
		f.t.Errorf("%d requests to Mailu, want %d", asked, n)
	}
}

func TestWrongTokenIsSentOnceInARun(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 23) // five batches
	f.refuseToken()
	f.worker("one", serverA)
	f.worker("two", serverA)

	report := f.run(t.Context(), "all-1")

	want(t, report, map[rotator.Outcome]int{rotator.Failed: 1, rotator.Blocked: 22})
	f.wantRequests(1)
}

// Any replica answers a direct read, also one that does not know of the stop yet.
func TestRunsAreReadFromTheLeader(t *testing.T) {
	t.Parallel()
	three := natstest.RunCluster(t, natstest.Options{})
	f := fleetOn(t, three.Servers[0])
	f.config.Servers, f.config.Replicas = strings.Split(three.URL(), ","), 3
	f.add(serverA, 0, 12)
	observer, err := nats.Connect(three.URL())
	f.must(err)
	defer observer.Close()
	requests, err := observer.SubscribeSync("$JS.API.*.GET.>") // direct
	f.must(err)
	fromLeader, err := observer.SubscribeSync("$JS.API.STREAM.MSG.GET.KV_MR_RUNS")
	f.must(err)
	f.must(observer.Flush())
	f.refuseToken()
	f.worker("one", serverA)
	f.worker("two", serverA)

	report := f.run(t.Context(), "all-1")

	want(t, report, map[rotator.Outcome]int{rotator.Failed: 1, rotator.Blocked: 11})
	f.wantRequests(1)
	f.must(observer.Flush())
	if n, _, err := requests.Pending(); err != nil || n > 0 {
		t.Errorf("%d direct reads, error %v", n, err)
	}
	if n, _, err := fromLeader.Pending(); err != nil || n == 0 {
		t.Errorf("%d reads from the leader, error %v", n, err)
	}
	if i := f.inspect(serverA); len(i.Differences) > 0 {
		t.Errorf("differences %+v", i.Differences)
	}
}

func TestStopOfAServerIsForItsRunAlone(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 7)
	f.add(serverB, 20, 7)
	f.refuseToken()
	f.worker("one", serverA)
	f.run(t.Context(), "all-1")
	f.during(nil)
	f.worker("two", serverB)

	report := f.run(t.Context(), "all-2")

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 14})
}

func TestNothingBeginsAfterTheWindow(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 15)
	f.worker("one", serverA)
	begun := time.Now()
	f.once(userOf(3), func(*host) { time.Sleep(time.Until(begun.Add(4500 * time.Millisecond))) })

	report := f.begin(t.Context(), "due-1", sweep.Selection{}, 4*time.Second)()

	done := report.Count(rotator.Rotated)
	if done < 3 || done > 11 {
		t.Errorf("%d rotated, want those begun in the window", done)
	}
	want(t, report, map[rotator.Outcome]int{rotator.Rotated: done, rotator.Deferred: 15 - done})
	f.wantOncePushed(done)
}

func TestHalfFinishedIsFinishedAfterTheWindow(t *testing.T) {
	f := newFleet(t)
	f.claimTTL = 3 * time.Second
	f.add(serverA, 0, 2)
	first := f.worker("one", serverA)
	f.once(userOf(1), func(*host) { first.kill() }) // when its record is prepared
	wait := f.begin(t.Context(), "due-1", sweep.Selection{}, 2*time.Second)
	f.eventually("the worker is dead", func() bool { return first.pass() != nil })
	time.Sleep(2 * time.Second)
	f.worker("two", serverA)

	want(t, wait(), map[rotator.Outcome]int{rotator.Rotated: 1, rotator.Finished: 1})
}

func TestInterruptedRunIsWithdrawn(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 20)
	f.worker("one", serverA)
	ctx, interrupt := context.WithCancel(t.Context())
	f.once(userOf(6), func(*host) {
		f.awaitPublished("all-1")
		interrupt()
		time.Sleep(500 * time.Millisecond)
	})

	report := f.run(ctx, "all-1")

	done := report.Count(rotator.Rotated)
	if done < 6 || done > 10 {
		t.Errorf("%d rotated, want those of the batches that had begun", done)
	}
	want(t, report, map[rotator.Outcome]int{rotator.Rotated: done, rotator.Deferred: 20 - done})
	f.wantOncePushed(done)
	attached, err := f.attach("all-1")
	if err != nil {
		t.Fatal(err)
	}
	want(t, attached, map[rotator.Outcome]int{rotator.Rotated: done, rotator.Deferred: 20 - done})
	if all := f.run(t.Context(), "all-2"); all.Count(rotator.Rotated) != 20 {
		t.Errorf("the next run rotated %d", all.Count(rotator.Rotated))
	}
}

func TestWithdrawnBatchEndsBeforeItsEnd(t *testing.T) {
	f := newFleet(t)
	f.config.Batch = 30
	f.add(serverA, 0, 30)
	f.worker("one", serverA)
	f.during(func(c rotatortest.Call) rotatortest.Fault {
		if c.Op == rotatortest.OpSetPassword {
			time.Sleep(300 * time.Millisecond)
		}
		return rotatortest.Fault{}
	})
	ctx, interrupt := context.WithCancel(t.Context())
	f.once(userOf(6), func(*host) { interrupt() })

	report := f.run(ctx, "all-1")

	done := report.Count(rotator.Rotated)
	if done < 6 || done > 24 {
		t.Errorf("%d rotated, want those that had begun", done)
	}
	want(t, report, map[rotator.Outcome]int{rotator.Rotated: done, rotator.Deferred: 30 - done})
}

func TestRunWithdrawnByAnotherIsDeferred(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 20)
	f.worker("one", serverA)
	ctx, interrupt := context.WithCancel(t.Context())
	attached := make(chan sweep.Report, 1)
	f.once(userOf(6), func(*host) {
		f.awaitPublished("all-1")
		go func() {
			report, err := f.attach("all-1")
			if err != nil {
				t.Error(err)
			}
			attached <- report
		}()
		time.Sleep(time.Second)
		interrupt()
		time.Sleep(500 * time.Millisecond)
	})

	done := f.run(ctx, "all-1").Count(rotator.Rotated)

	report := <-attached
	want(t, report, map[rotator.Outcome]int{rotator.Rotated: done, rotator.Deferred: 20 - done})
}

func TestRecordChangedAfterThePlanIsDeferred(t *testing.T) {
	for name, change := range map[string]map[string]any{
		"user":   {"username": userOf(99)},
		"server": {"webmail_url": string(serverB)},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			f.add(serverA, 0, 10)
			f.worker("one", serverA)
			f.once(userOf(0), func(*host) {
				f.store.Edit(string(tenant(9)), func(fields map[string]any) {
					for key, value := range change {
						fields[key] = value
					}
				})
			})

			report := f.run(t.Context(), "all-1")

			want(t, report, map[rotator.Outcome]int{rotator.Rotated: 9, rotator.Deferred: 1})
			f.wantOncePushed(9)
		})
	}
}

func TestNewMasterKeyInMidRun(t *testing.T) {
	f := newFleet(t)
	f.claimTTL = 2 * time.Second
	f.add(serverA, 0, 20)
	one := f.worker("one", serverA)
	f.once(userOf(8), func(*host) {
		f.awaitRest(5, 6, 7, 9) // the others of its batch, under the old key
		one.kill()
		f.keyRotated.Store(true)
	})
	wait := f.begin(t.Context(), "all-1", everything, 0)
	f.eventually("the first worker is dead", func() bool { return one.pass() != nil })
	f.worker("two", serverA)

	want(t, wait(), map[rotator.Outcome]int{rotator.Rotated: 19, rotator.Finished: 1})
	f.wantOncePushed(20)
}

func TestNewMasterKeyReachesAnOldSession(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 10)
	w := f.worker("one", serverA)
	f.run(t.Context(), "all-1")
	f.keyRotated.Store(true)

	report := f.run(t.Context(), "all-2")

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 10})
	if w.opened.Load() != 2 {
		t.Errorf("%d sessions, want another one for the new key", w.opened.Load())
	}
	for i := range 10 {
		if fields, _ := f.store.Get(string(tenant(i))); fmt.Sprint(fields["key_version"]) != "2" {
			t.Errorf("tenant %d: %v", i, fields["key_version"])
		}
	}
}

func TestOpenWithoutNATSSaysSo(t *testing.T) {
	f := newFleet(t)
	f.nats.Stop()

	_, err := cluster.Open(t.Context(), f.config)

	if !errors.Is(err, cluster.ErrUnreachable) {
		t.Errorf("error %v, want ErrUnreachable", err)
	}
}
