package cluster_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"mailu-rotator/internal/cluster"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// forget removes what NATS has of the fleet, without ending a connection.
func (f *fleet) forget() {
	js := f.jetStream()
	for _, stream := range []string{"MR_WORK", "MR_RESULTS", "KV_MR_RUNS", "KV_MR_WORKERS"} {
		f.must(js.DeleteStream(context.WithoutCancel(f.t.Context()), stream))
	}
}

func TestRunWaitsForWorkersWhenNATSWasEmptied(t *testing.T) {
	f := newFleet(t)
	f.config.Announce = 3 * time.Second
	f.add(serverA, 0, 8)
	f.add(serverB, 20, 8)
	f.worker("one", serverA)
	f.worker("two", serverB)
	f.forget()

	report := f.run(t.Context(), "all-1")

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 16})
	f.wantOncePushed(16)
}

func TestWorkerIsAnnouncedWhenNATSIsBack(t *testing.T) {
	f := newFleet(t)
	f.config.Announce = time.Hour
	f.worker("one", serverA)

	f.must(f.nats.Empty(context.WithoutCancel(t.Context())))

	observer := f.open("observer")
	f.eventually("the worker is announced", func() bool {
		all, err := observer.Workers(t.Context())
		return err == nil && len(all) == 1
	})
}

// sleepless is the clock of a process that must not wait.
type sleepless struct {
	rotator.SystemClock
	t *testing.T
}

func (c sleepless) Sleep(context.Context, time.Duration) error {
	c.t.Error("it waits")
	return nil
}

func TestServerWithoutWorkerIsToldAtOnce(t *testing.T) {
	f := newFleet(t)
	f.open("the first process")
	f.eventually("the list of workers is old enough", func() bool {
		info, err := f.stream("KV_MR_WORKERS").Info(t.Context())
		return err == nil && info.TimeStamp.Sub(info.Created) > 600*time.Millisecond
	})
	planner := f.open("planner", func(c *cluster.Config) {
		c.Announce, c.Clock = 450*time.Millisecond, sleepless{t: t}
	})
	run, err := planner.Preview(t.Context())
	f.must(err)

	err = run.Serves(t.Context(), serverA)

	if !errors.Is(err, sweep.ErrNoWorker) {
		t.Errorf("error %v, want that there is no worker", err)
	}
}

// countedSleeps is a clock that passes time only by sleeping.
type countedSleeps struct {
	rotator.Clock
	slept time.Duration
}

func (c *countedSleeps) Now() time.Time { return time.Unix(1800000000, 0).Add(c.slept) }

func (c *countedSleeps) Sleep(_ context.Context, length time.Duration) error {
	c.slept += length
	return nil
}

func TestWaitForWorkersIsBounded(t *testing.T) {
	f := newFleet(t)
	clock := &countedSleeps{}
	run, err := f.open("planner", func(c *cluster.Config) { c.Announce, c.Clock = time.Hour, clock }).Preview(t.Context())
	f.must(err)

	for range 2 { // the second server is not waited for again
		if err := run.Serves(t.Context(), serverA); !errors.Is(err, sweep.ErrNoWorker) {
			t.Errorf("error %v, want that there is no worker", err)
		}
	}

	if clock.slept < 75*time.Minute || clock.slept > 85*time.Minute {
		t.Errorf("waited for %s, want the time between two announcements and a third of it", clock.slept)
	}
}

func TestInterruptEndsTheWaitForWorkers(t *testing.T) {
	f := newFleet(t)
	run, err := f.open("planner", func(c *cluster.Config) { c.Announce = time.Hour }).Preview(t.Context())
	f.must(err)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()

	if err := run.Serves(ctx, serverA); !errors.Is(err, sweep.ErrNoWorker) {
		t.Errorf("error %v, want that there is no worker", err)
	}
}
