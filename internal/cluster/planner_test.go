package cluster_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mailu-rotator/internal/cluster"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

func TestTwoPlannersRotateEverybodyOnce(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 23)
	f.worker("one", serverA)
	f.worker("two", serverA)

	first := f.begin(t.Context(), "due-1", sweep.Selection{}, 0)
	second := f.begin(t.Context(), "due-1", sweep.Selection{}, 0)

	for _, report := range []sweep.Report{first(), second()} {
		rotated := report.Count(rotator.Rotated)
		want(t, report, map[rotator.Outcome]int{rotator.Rotated: rotated, rotator.Fresh: 23 - rotated})
	}
	f.wantOncePushed(23)
}

// countingClock does something when the time is asked for often enough.
type countingClock struct {
	rotator.SystemClock
	left atomic.Int32
	do   func()
}

func (c *countingClock) Now() time.Time {
	if c.left.Add(-1) == 0 {
		c.do()
	}
	return c.SystemClock.Now()
}

// at calls do when the process has begun to publish.
func at(calls int32, do func()) func(*cluster.Config) {
	clock := &countingClock{do: do}
	clock.left.Store(calls)
	return func(c *cluster.Config) { c.Clock = clock }
}

func TestPlannerDiesWhileItPublishes(t *testing.T) {
	f := newFleet(t)
	f.config.Batch = 1
	f.add(serverA, 0, 20)
	f.worker("one", serverA)
	dying, die := context.WithCancel(t.Context())
	var first *cluster.Cluster
	first = f.open("first", at(10, func() {
		die()
		first.Close()
	}))
	role, err := first.Claim(t.Context(), "due-1")
	if err != nil || role != cluster.Plans {
		t.Fatalf("role %d, error %v", role, err)
	}
	planner, err := first.Plan(dying, "due-1")
	if err != nil {
		t.Fatal(err)
	}
	s := f.host("first").sweep()
	s.Engine = planner
	_, _ = s.Run(dying, sweep.Selection{}, 0)
	f.eventually("its batches are done", func() bool { return f.pushed(3) })
	clock := &jumpingClock{}
	second := f.open("second", clock.set)
	if role, err := second.Claim(t.Context(), "due-1"); err != nil || role != cluster.Waits {
		t.Fatalf("role %d, error %v: the lease is alive", role, err)
	}
	clock.jump(31 * time.Second)
	if role, err := second.Claim(t.Context(), "due-1"); err != nil || role != cluster.Plans {
		t.Fatalf("role %d, error %v: the lease has lapsed", role, err)
	}

	report := f.begin(t.Context(), "due-1", sweep.Selection{}, 0)()

	rotated := report.Count(rotator.Rotated)
	want(t, report, map[rotator.Outcome]int{rotator.Rotated: rotated, rotator.Fresh: 20 - rotated})
	f.wantOncePushed(20)
	attached, err := f.attach("due-1")
	if err != nil {
		t.Fatal(err)
	}
	want(t, attached, map[rotator.Outcome]int{rotator.Rotated: 20})
}

func TestPlannerOfAWithdrawnRunPublishesNothing(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 5)
	f.worker("one", serverA)
	planner, err := f.open("planner").Plan(t.Context(), "due-1")
	if err != nil {
		t.Fatal(err)
	}
	defer planner.Close()
	other, err := f.open("other").Plan(t.Context(), "due-1")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	keys, err := keyring(false)
	if err != nil {
		t.Fatal(err)
	}
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	_ = other.Execute(interrupted, keys, sweep.Order{}, nil, func(sweep.Settled) {}) // withdraws it
	s := f.host("planner").sweep()
	s.Engine = planner

	report, err := s.Run(t.Context(), sweep.Selection{}, 0)

	if err != nil {
		t.Fatal(err)
	}
	want(t, report, map[rotator.Outcome]int{rotator.Deferred: 5})
	f.wantOncePushed(0)
}

func TestClaim(t *testing.T) {
	f := newFleet(t)
	me, other := f.open("me"), f.open("other")
	later := f.open("later", func(c *cluster.Config) {
		clock := &jumpingClock{}
		clock.jump(31 * time.Second)
		clock.set(c)
	})
	ctx := t.Context()
	plan := func(id string) {
		run, err := other.Plan(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		run.Close()
	}
	execute := func(ctx context.Context, id string) {
		run, err := other.Plan(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := keyring(false)
		if err != nil {
			t.Fatal(err)
		}
		_ = run.Execute(ctx, keys, sweep.Order{}, nil, func(sweep.Settled) {})
		run.Close()
	}
	interrupted, interrupt := context.WithCancel(ctx)
	interrupt()
	for name, c := range map[string]struct {
		before func(id string)
		who    *cluster.Cluster
		want   cluster.Role
	}{
		"nobody plans it":                         {func(string) {}, me, cluster.Plans},
		"I do":                                    {func(id string) { _, _ = me.Claim(ctx, id) }, me, cluster.Plans},
		"another one does":                        {plan, me, cluster.Waits},
		"another one is silent":                   {plan, later, cluster.Plans},
		"another one published":                   {func(id string) { execute(ctx, id) }, me, cluster.Follows},
		"published long ago":                      {func(id string) { execute(ctx, id) }, later, cluster.Follows},
		"another one withdrew":                    {func(id string) { execute(interrupted, id) }, me, cluster.Plans},
		"another one gave it up":                  {func(id string) { plan(id); other.Release(ctx, id) }, me, cluster.Plans},
		"I cannot give up what another one plans": {func(id string) { plan(id); later.Release(ctx, id) }, me, cluster.Waits},
		"nor what is published":                   {func(id string) { execute(ctx, id); other.Release(ctx, id) }, me, cluster.Follows},
	} {
		t.Run(name, func(t *testing.T) {
			id := "due-" + strings.ReplaceAll(name, " ", "-")
			c.before(id)
			got, err := c.who.Claim(ctx, id)
			if err != nil || got != c.want {
				t.Errorf("role %d, error %v, want %d", got, err, c.want)
			}
		})
	}
}

// hastyClock sleeps a hundredth of the time.
type hastyClock struct{ rotator.SystemClock }

func (c hastyClock) Sleep(ctx context.Context, d time.Duration) error {
	return c.SystemClock.Sleep(ctx, d/100)
}

func TestPlannerKeepsItsLease(t *testing.T) {
	f := newFleet(t)
	run, err := f.open("planner", func(c *cluster.Config) { c.Clock = hastyClock{} }).Plan(t.Context(), "due-1")
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	clock := &jumpingClock{}
	clock.jump(29 * time.Second)
	other := f.open("other", clock.set)
	time.Sleep(1200 * time.Millisecond)

	if role, err := other.Claim(t.Context(), "due-1"); err != nil || role != cluster.Waits {
		t.Errorf("role %d, error %v, want that the lease is alive", role, err)
	}
	clock.jump(2 * time.Second)
	f.eventually("it has lapsed", func() bool { // unless the planner renews it just then
		role, err := other.Claim(t.Context(), "due-1")
		f.must(err)
		return role == cluster.Plans
	})
	late := &jumpingClock{}
	late.jump(29500 * time.Millisecond)
	third := f.open("third", late.set)
	time.Sleep(time.Second) // the deposed planner renews nothing
	if role, err := f.open("fourth").Claim(t.Context(), "due-1"); err != nil || role != cluster.Waits {
		t.Errorf("role %d, error %v, want that the other one plans it", role, err)
	}
	if role, err := third.Claim(t.Context(), "due-1"); err != nil || role != cluster.Plans {
		t.Errorf("role %d, error %v, want that the other one's lease has lapsed", role, err)
	}
}

func TestServerWhoseWorkersEndIsGivenUp(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 8)
	f.add(serverB, 20, 8)
	f.worker("one", serverA)
	two := f.worker("two", serverB)
	clock := &jumpingClock{}
	f.once(userOf(20), func(*host) {
		go two.stop()
		time.Sleep(100 * time.Millisecond)
	})
	wait := f.begin(t.Context(), "all-1", everything, 0, clock.set)
	f.eventually("the second worker has ended", func() bool {
		all, err := two.cluster.Workers(t.Context())
		return err == nil && len(all) == 1
	})

	report := clock.hurry(wait)

	blocked := report.Count(rotator.Blocked)
	if blocked < 3 {
		t.Errorf("%d are blocked, want those that were not begun", blocked)
	}
	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 16 - blocked, rotator.Blocked: blocked})
	f.worker("late", serverB)
	time.Sleep(time.Second)
	f.wantOncePushed(16 - blocked)
}

func TestRunIsFollowedLittleLongerThanItsWindow(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 8)
	w := f.worker("one", serverA)
	clock := &jumpingClock{}
	f.once(userOf(0), func(h *host) {
		h.freeze()
		clock.jump(31*time.Minute + time.Second)
	})

	report := f.begin(t.Context(), "due-1", sweep.Selection{}, time.Minute, clock.set)()

	w.thaw()
	if report.Count(rotator.Blocked) != 8 || !strings.Contains(report.Rows[7].Reason, "after its window") {
		want(t, report, map[rotator.Outcome]int{rotator.Blocked: 8})
		t.Log(report.Rows[7].Reason)
	}
}
