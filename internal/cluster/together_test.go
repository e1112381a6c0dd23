package cluster_test

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"mailu-rotator/internal/cluster"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// daemon sweeps together with others. Its reports are of what it has planned and of what it
// has followed, in their order.
type daemon struct {
	fleet     *fleet
	name      string
	cluster   *cluster.Cluster
	following func() // is called before it follows a run

	planned, followed []sweep.Report
}

func (f *fleet) daemon(name string) *daemon {
	return &daemon{fleet: f, name: name, cluster: f.open(name), following: func() {}}
}

func (d *daemon) sweep(ctx context.Context, id string) error {
	s := d.fleet.host(d.name).sweep()
	plan := func(run *cluster.Run) error {
		s.Engine = run
		report, err := s.Run(ctx, sweep.Selection{}, time.Hour)
		d.planned = append(d.planned, report)
		return err
	}
	return d.cluster.Together(ctx, id, plan, func(running *cluster.Attached) (sweep.Report, error) {
		d.following()
		report, err := s.Attach(ctx, running)
		d.followed = append(d.followed, report)
		return report, err
	})
}

// begin sweeps until the result of begin returns.
func (d *daemon) begin(ctx context.Context, id string) (wait func()) {
	ended := make(chan error, 1)
	go func() { ended <- d.sweep(ctx, id) }()
	wait = sync.OnceFunc(func() { d.fleet.must(<-ended) })
	d.fleet.t.Cleanup(wait)
	return wait
}

// awaitState waits for the state of a run.
func (f *fleet) awaitState(run, state string) {
	runs, err := f.jetStream().KeyValue(context.WithoutCancel(f.t.Context()), "MR_RUNS")
	f.must(err)
	for range 600 {
		if entry, err := runs.Get(context.WithoutCancel(f.t.Context()), run); err == nil && bytes.Contains(entry.Value(), []byte(state)) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	f.t.Errorf("run %s is not %s within 30 s", run, state)
}

func TestFollowerPlansTheRestOfAWithdrawnRun(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 20)
	f.worker("worker", serverA)
	stopped, stop := context.WithCancel(t.Context())
	first, second := f.daemon("first"), f.daemon("second")
	follows := make(chan struct{})
	second.following = sync.OnceFunc(func() { close(follows) })
	f.once(userOf(6), func(*host) {
		<-follows
		time.Sleep(300 * time.Millisecond) // it has the plan
		stop()
		f.awaitState("due-1", "withdrawn")
	})
	planner := first.begin(stopped, "due-1")
	f.awaitState("due-1", "published")

	second.begin(t.Context(), "due-1")()

	planner()
	f.wantOncePushed(20)
	if len(second.followed) != 1 || len(second.planned) != 1 {
		t.Fatalf("the second daemon followed %d runs and planned %d", len(second.followed), len(second.planned))
	}
	done := second.followed[0].Count(rotator.Rotated)
	want(t, second.followed[0], map[rotator.Outcome]int{rotator.Rotated: done, rotator.Deferred: 20 - done})
	if rest := second.planned[0]; rest.Count(rotator.Rotated) != 20-done || rest.Incomplete() {
		t.Errorf("the second daemon rotated %d, want the other %d", rest.Count(rotator.Rotated), 20-done)
	}
}

func TestFollowerOfAWholeRunPlansNothing(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 8)
	f.add(serverB, 20, 1) // nobody works for it
	f.worker("worker", serverA)
	first, second := f.daemon("first"), f.daemon("second")
	f.must(first.sweep(t.Context(), "due-1"))

	f.must(second.sweep(t.Context(), "due-1"))

	if len(second.followed) != 1 || len(second.planned) != 0 {
		t.Errorf("the second daemon followed %d runs and planned %d", len(second.followed), len(second.planned))
	}
	want(t, first.planned[0], map[rotator.Outcome]int{rotator.Rotated: 8, rotator.Blocked: 1})
	want(t, second.followed[0], map[rotator.Outcome]int{rotator.Rotated: 8})
}

func TestInterruptedFollowerPlansNothing(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 20)
	w := f.worker("worker", serverA)
	interrupted, interrupt := context.WithCancel(t.Context())
	first, second := f.daemon("first"), f.daemon("second")
	f.once(userOf(6), func(h *host) { h.freeze() })
	planner := first.begin(t.Context(), "due-1")
	f.eventually("the second batch has begun", w.stands)
	second.following = func() { time.AfterFunc(time.Second, interrupt) }

	f.must(second.sweep(interrupted, "due-1"))

	if len(second.planned) != 0 {
		t.Error("it planned the run")
	}
	w.thaw()
	planner()
	want(t, first.planned[0], map[rotator.Outcome]int{rotator.Rotated: 20})
}

func TestPlannerThatFailsGivesTheRunBack(t *testing.T) {
	f := newFleet(t)
	first, second := f.daemon("first"), f.daemon("second")

	if err := first.cluster.Together(t.Context(), "due-1", func(*cluster.Run) error { return rotator.ErrUnavailable }, nil); err != rotator.ErrUnavailable { //nolint:errorlint // the same one
		t.Fatalf("error %v, want that of the plan", err)
	}

	if role, err := second.cluster.Claim(t.Context(), "due-1"); err != nil || role != cluster.Plans {
		t.Errorf("role %d, error %v, want that another one may plan it", role, err)
	}
}
