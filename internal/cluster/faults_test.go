package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mailu-rotator/internal/cluster"
	"mailu-rotator/internal/cluster/natstest"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// must ends the test on an error of its own doing.
func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Error(err)
	}
}

// stream is one of the fleet's, for a test that breaks it.
func (f *fleet) stream(name string) jetstream.Stream {
	f.t.Helper()
	stream, err := f.jetStream().Stream(context.WithoutCancel(f.t.Context()), name)
	f.must(err)
	return stream
}

func (f *fleet) jetStream() jetstream.JetStream {
	f.t.Helper()
	conn, err := nats.Connect(f.nats.URL)
	f.must(err)
	f.t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	f.must(err)
	return js
}

// awaitPublished waits until the planner has published all batches of a run.
func (f *fleet) awaitPublished(run string) {
	f.t.Helper()
	runs, err := f.jetStream().KeyValue(context.WithoutCancel(f.t.Context()), "MR_RUNS")
	f.must(err)
	for range 200 {
		if entry, err := runs.Get(context.WithoutCancel(f.t.Context()), run); err == nil && bytes.Contains(entry.Value(), []byte("published")) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	f.t.Errorf("run %s is not published within 10 s", run)
}

func TestFaultsOfNATSInMidRun(t *testing.T) {
	for name, fault := range map[string]func(*fleet){
		"killed and restarted": func(f *fleet) {
			f.nats.Kill()
			f.must(f.nats.Restart(context.WithoutCancel(f.t.Context())))
		},
		"killed for longer than AckWait": func(f *fleet) {
			f.nats.Kill()
			time.Sleep(2 * ackWait)
			f.must(f.nats.Restart(context.WithoutCancel(f.t.Context())))
		},
		"stopped for longer than AckWait": func(f *fleet) {
			f.must(f.nats.Pause())
			time.Sleep(2 * ackWait)
			f.must(f.nats.Continue())
		},
		"emptied": func(f *fleet) {
			f.must(f.nats.Empty(context.WithoutCancel(f.t.Context())))
		},
		"batches purged": func(f *fleet) {
			f.must(f.stream("MR_WORK").Purge(context.WithoutCancel(f.t.Context())))
		},
		"batches deleted": func(f *fleet) {
			f.must(f.jetStream().DeleteStream(context.WithoutCancel(f.t.Context()), "MR_WORK"))
		},
		"results deleted": func(f *fleet) {
			f.must(f.jetStream().DeleteStream(context.WithoutCancel(f.t.Context()), "MR_RESULTS"))
		},
		"results purged": func(f *fleet) {
			f.must(f.stream("MR_RESULTS").Purge(context.WithoutCancel(f.t.Context())))
		},
		"states deleted": func(f *fleet) {
			f.must(f.jetStream().DeleteKeyValue(context.WithoutCancel(f.t.Context()), "MR_RUNS"))
		},
		"workers deleted": func(f *fleet) {
			f.must(f.jetStream().DeleteKeyValue(context.WithoutCancel(f.t.Context()), "MR_WORKERS"))
		},
		"consumer deleted": func(f *fleet) {
			work := f.stream("MR_WORK")
			for consumer := range work.ListConsumers(context.WithoutCancel(f.t.Context())).Info() {
				f.must(work.DeleteConsumer(context.WithoutCancel(f.t.Context()), consumer.Name))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			f.add(serverA, 0, 20)
			f.worker("one", serverA)
			f.worker("two", serverA)
			f.once(userOf(7), func(*host) { fault(f) })

			report := f.run(t.Context(), "all-1")

			want(t, report, map[rotator.Outcome]int{rotator.Rotated: 20})
			f.wantOncePushed(20)
		})
	}
}

// The worker takes it for a withdrawn one, and ends its batch; the planner notices nothing.
func TestRunWhoseStateIsLostForAMoment(t *testing.T) {
	f := newFleet(t)
	f.config.Batch = 20
	f.add(serverA, 0, 20)
	w := f.worker("one", serverA)
	f.once(userOf(1), func(h *host) { h.freeze() })
	wait := f.begin(t.Context(), "all-1", everything, 0)
	f.eventually("the batch has begun", w.stands)
	f.awaitPublished("all-1")
	time.Sleep(ackWait / 4) // for the planner's first look; the next one is two seconds later
	runs, err := f.jetStream().KeyValue(t.Context(), "MR_RUNS")
	f.must(err)
	state, err := runs.Get(t.Context(), "all-1")
	f.must(err)
	f.must(runs.Delete(t.Context(), "all-1"))
	time.Sleep(ackWait / 4) // for two renewals
	_, err = runs.Put(t.Context(), "all-1", state.Value())
	f.must(err)
	w.thaw()

	report := wait()

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 20})
	f.wantOncePushed(20)
	attached, err := f.attach("all-1")
	f.must(err)
	want(t, attached, map[rotator.Outcome]int{rotator.Rotated: 20})
}

func TestOnlyWhatIsLostIsPublishedAgain(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 20)
	f.worker("one", serverA)
	f.once(userOf(7), func(*host) { f.must(f.stream("MR_WORK").Purge(context.WithoutCancel(t.Context()))) })
	batches := f.recorded()

	f.run(t.Context(), "all-1")

	if n, _, err := batches.Pending(); err != nil || n < 6 || n > 7 {
		t.Errorf("%d batches were published, error %v, want 4 and those without results", n, err)
	}
}

func TestNATSEmptiedWhileARunIsPublished(t *testing.T) {
	f := newFleet(t)
	f.config.Batch = 1
	f.add(serverA, 0, 20)
	f.worker("one", serverA)
	empty := at(12, func() { f.must(f.nats.Empty(context.WithoutCancel(t.Context()))) })

	report := f.begin(t.Context(), "all-1", everything, 0, empty)()

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 20})
	f.wantOncePushed(20)
	if f.reports("is published again") == 0 {
		t.Error("nothing was lost")
	}
}

func TestPartitionedWorkerBeginsNothingMore(t *testing.T) {
	f := newFleet(t)
	f.claimTTL = 10 * time.Second
	f.add(serverA, 0, 20)
	link, url := f.nats.Link(t)
	f.workerAt([]string{url}, "one", serverA)
	f.once(userOf(6), func(h *host) {
		link.Cut()
		time.Sleep(ackWait) // its claim is alive
	})
	wait := f.begin(t.Context(), "all-1", everything, 0)
	f.eventually("the second batch has begun", func() bool { return f.pushed(6) })
	f.worker("two", serverA)

	report := wait()

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 20})
	f.wantOncePushed(20)
	f.wantLimit()
	link.Heal()
	f.eventually("the first worker notices", f.noticed)
	for _, row := range report.Rows {
		if row.Tenant == string(tenant(6)) && !strings.HasPrefix(row.Reason, "found rotated at") {
			t.Errorf("the reason is %q: the first worker could not report it", row.Reason)
		}
	}
}

// pushed reports whether a user was sent a password.
func (f *fleet) pushed(n int) bool {
	return f.count(func(c rotatortest.Call) bool { return c.Op == rotatortest.OpSetPassword && c.User == userOf(n) }) > 0
}

func TestRunEndsWhenNATSStaysDown(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 20)
	w := f.worker("one", serverA)
	clock := &jumpingClock{}
	f.once(userOf(6), func(*host) {
		f.nats.Kill()
		w.kill()
		clock.jump(6 * time.Minute)
	})

	report := f.begin(t.Context(), "all-1", everything, 0, clock.set)()

	done := report.Count(rotator.Rotated)
	if done > 10 {
		t.Errorf("%d rotated, want no more than two batches", done)
	}
	want(t, report, map[rotator.Outcome]int{rotator.Rotated: done, rotator.Blocked: 20 - done})
	for _, row := range report.Rows {
		if row.Outcome == rotator.Blocked && !strings.Contains(row.Reason, cluster.ErrUnreachable.Error()) {
			t.Errorf("the reason is %q", row.Reason)
		}
	}
}

func TestWorkerWaitsForNATSAtItsStart(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 5)
	f.worker("one", serverA)
	f.nats.Kill()
	time.Sleep(time.Second)
	f.must(f.nats.Restart(t.Context()))

	want(t, f.run(t.Context(), "all-1"), map[rotator.Outcome]int{rotator.Rotated: 5})
}

func TestTLSWithNkeys(t *testing.T) {
	t.Parallel()
	seed := t.TempDir() + "/seed"
	public, err := natstest.NewNkey(seed)
	if err != nil {
		t.Fatal(err)
	}
	nats := natstest.Run(t, natstest.Options{TLS: true, Users: []natstest.User{{Nkey: public}}})
	f := fleetOn(t, nats)
	f.config.Servers = []string{nats.URL}
	f.config.TLS = clientTLS(t, nats)
	f.config.Seed = seedOf(seed)
	f.add(serverA, 0, 10)
	f.worker("one", serverA)
	f.worker("two", serverA)

	report := f.run(t.Context(), "all-1")

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 10})
	f.wantOncePushed(10)
}

func TestForeignNkeyIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	public, err := natstest.NewNkey(dir + "/known")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := natstest.NewNkey(dir + "/foreign"); err != nil {
		t.Fatal(err)
	}
	nats := natstest.Run(t, natstest.Options{Users: []natstest.User{{Nkey: public}}})
	f := fleetOn(t, nats)
	f.config.Servers, f.config.Seed = []string{nats.URL}, seedOf(dir+"/foreign")

	_, err = cluster.Open(t.Context(), f.config)

	if err == nil || !strings.Contains(err.Error(), "Authorization Violation") && !strings.Contains(err.Error(), "authorization violation") {
		t.Errorf("error %v, want that NATS refuses the key", err)
	}
}

func TestThreeServersLoseOneInMidRun(t *testing.T) {
	t.Parallel()
	three := natstest.RunCluster(t, natstest.Options{})
	f := fleetOn(t, three.Servers[0])
	f.config.Servers, f.config.Replicas = strings.Split(three.URL(), ","), 3
	f.add(serverA, 0, 20)
	f.open("observer")
	leader := f.stream("MR_WORK").CachedInfo().Cluster.Leader
	f.worker("one", serverA)
	f.worker("two", serverA)
	f.once(userOf(7), func(*host) { three.Server(leader).Kill() })

	report := f.run(t.Context(), "all-1")

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 20})
	f.wantOncePushed(20)
}

func TestRunThatNobodyKnows(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 1)

	_, err := f.attach("all-7")

	if err == nil || !strings.Contains(err.Error(), "knows no such run") || errors.Is(err, sweep.ErrWithdrawn) {
		t.Errorf("error %v, want that there is no such run", err)
	}
}
