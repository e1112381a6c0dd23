package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailu-rotator/internal/cluster"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

func TestAttachWhileTheRunIsPlanned(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 12)
	f.add(serverB, 20, 3)
	f.worker("one", serverA)
	planner, err := f.open("planner").Plan(t.Context(), "all-1")
	if err != nil {
		t.Fatal(err)
	}
	s := f.host("planner").sweep()
	confirm := make(chan bool)
	s.Engine, s.Confirm = planner, func(context.Context, []sweep.Decision) bool { return <-confirm }
	run := f.follow(func() (sweep.Report, error) {
		defer planner.Close()
		return s.Run(t.Context(), everything, 0)
	})
	attached := f.follow(func() (sweep.Report, error) { return f.attach("all-1") })
	time.Sleep(500 * time.Millisecond)
	confirm <- true

	report := attached()

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 12})
	for i, row := range report.Rows {
		if row.Tenant != string(tenant(i)) || row.User != userOf(i) || row.Origin != serverA {
			t.Errorf("row %d is %+v, want the plan's order", i, row)
		}
	}
	if whole := run(); !report.RotatedBefore.Equal(whole.RotatedBefore) {
		t.Errorf("the cut-off is %s, want the run's %s", report.RotatedBefore, whole.RotatedBefore)
	}
}

func TestAttachAfterTheRun(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 12)
	f.worker("one", serverA)
	f.run(t.Context(), "all-1")

	report, err := f.attach("all-1")

	if err != nil {
		t.Fatal(err)
	}
	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 12})
}

func TestAttachAfterAPlannerThatDiedInAnAnnouncement(t *testing.T) {
	f := newFleet(t)
	f.config.AckWait = 10 * time.Second
	f.add(serverA, 0, 12)
	f.worker("one", serverA)
	keys, err := keyring(false)
	if err != nil {
		t.Fatal(err)
	}
	const subject = "mr.results.all-1"
	queued := fmt.Sprintf(`{"queued":{"run":"all-1","id":"0.0","origin":%q,"assignments":[{"tenant":%q,"origin":%[1]q}]}}`, serverA, tenant(3))
	announced, err := keys.SealMessage(1, subject, []byte(queued))
	if err != nil {
		t.Fatal(err)
	}
	f.publish(subject, announced) // but no batch
	f.run(t.Context(), "all-1")
	begun := time.Now()

	report, err := f.attach("all-1")

	if err != nil {
		t.Fatal(err)
	}
	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 12})
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %s: the batch was waited for", took)
	}
}

func TestAttachToAWithdrawnRunWhoseWorkerDied(t *testing.T) {
	f := newFleet(t)
	f.config.AckWait = 500 * time.Millisecond
	f.add(serverA, 0, 20)
	one := f.worker("one", serverA)
	ctx, interrupt := context.WithCancel(t.Context())
	f.once(userOf(6), func(*host) {
		f.awaitPublished("all-1")
		one.kill()
		interrupt()
	})
	f.run(ctx, "all-1")

	report, err := f.attach("all-1")

	if err != nil {
		t.Fatal(err)
	}
	for _, row := range report.Rows[5:] {
		if row.Outcome != rotator.Rotated && (row.Outcome != rotator.Deferred || row.Reason != sweep.ErrWithdrawn.Error()) {
			t.Errorf("%s is %s, %q", row.Tenant, row.Outcome, row.Reason)
		}
	}
}

func TestAttachToARunWhosePlannerDied(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 12)
	f.worker("one", serverA)
	dying, die := context.WithCancel(t.Context())
	planner := f.open("planner")
	run, err := planner.Plan(dying, "all-1")
	if err != nil {
		t.Fatal(err)
	}
	f.once(userOf(3), func(*host) {
		f.awaitPublished("all-1")
		planner.Close()
		die()
	})
	s := f.host("planner").sweep()
	s.Engine = run
	_, _ = s.Run(dying, everything, 0)

	report, err := f.attach("all-1")

	if err != nil {
		t.Fatal(err)
	}
	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 12})
	f.wantOncePushed(12)
}

func TestAttachToARunThatIsNeverPlanned(t *testing.T) {
	f := newFleet(t)
	keys, err := keyring(false)
	if err != nil {
		t.Fatal(err)
	}
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	for name, c := range map[string]struct {
		fate func(*cluster.Run)
		want string
	}{
		"withdrawn": {func(r *cluster.Run) {
			_ = r.Execute(interrupted, keys, sweep.Order{}, nil, func(sweep.Settled) {})
		}, "was withdrawn"},
		"its planner died": {(*cluster.Run).Close, "nobody plans the run"},
	} {
		t.Run(name, func(t *testing.T) {
			id := strings.ReplaceAll(name, " ", "-")
			run, err := f.open("planner").Plan(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			c.fate(run)
			run.Close()
			clock := &jumpingClock{}
			clock.jump(3 * time.Minute)

			_, _, err = f.open("terminal", clock.set).Attach(id).Assignments(t.Context(), keys)

			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestInterruptedTerminalLeavesTheRun(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 12)
	f.worker("one", serverA)
	ctx, interrupt := context.WithCancel(t.Context())
	var attached func() sweep.Report
	f.once(userOf(6), func(*host) {
		attached = f.follow(func() (sweep.Report, error) {
			s := f.host("terminal").sweep()
			s.Observe = func(e rotator.Event) {
				if e.Name == rotator.SweepPlanned {
					interrupt()
				}
			}
			return s.Attach(ctx, f.open("terminal").Attach("all-1"))
		})
		<-ctx.Done()
		time.Sleep(200 * time.Millisecond)
	})

	report := f.run(t.Context(), "all-1")

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 12})
	for _, row := range attached().Rows {
		if row.Outcome == rotator.Deferred && !strings.Contains(row.Reason, "the workers go on") {
			t.Errorf("the reason is %q", row.Reason)
		}
	}
}
