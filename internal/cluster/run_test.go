package cluster_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// want fails the test unless the report has these numbers of outcomes, and no others.
func want(t *testing.T, report sweep.Report, counts map[rotator.Outcome]int) {
	t.Helper()
	for _, o := range rotator.Outcomes() {
		if report.Count(o) != counts[o] {
			t.Errorf("%d tenants are %s, want %d", report.Count(o), o, counts[o])
		}
	}
	if t.Failed() {
		for _, row := range report.Rows {
			t.Logf("%s %s %s", row.Tenant, row.Outcome, row.Reason)
		}
	}
}

func (f *fleet) wantOncePushed(n int) {
	f.t.Helper()
	pushes := f.pushes()
	if len(pushes) != n {
		f.t.Errorf("%d users were sent a password, want %d", len(pushes), n)
	}
	for user, times := range pushes {
		if times != 1 {
			f.t.Errorf("%s was sent %d passwords", user, times)
		}
	}
}

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

func TestWrongTokenIsSentOnceInARun(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 23) // five batches
	refused := errors.Join(errors.New("403 Invalid API token"), rotator.ErrServerUnusable)
	f.during(func(c rotatortest.Call) rotatortest.Fault {
		if c.User != "" {
			return rotatortest.Fault{Before: refused}
		}
		return rotatortest.Fault{}
	})
	f.worker("one", serverA)
	f.worker("two", serverA)

	report := f.run(t.Context(), "all-1")

	want(t, report, map[rotator.Outcome]int{rotator.Failed: 1, rotator.Blocked: 22})
	if asked := f.count(func(c rotatortest.Call) bool { return c.User != "" }); asked != 1 {
		t.Errorf("%d requests with the wrong token, want 1", asked)
	}
}

func TestEmptiedNATSCostsOneMorePlan(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 20)
	f.worker("one", serverA)
	emptied := make(chan struct{}, 1)
	emptied <- struct{}{}
	f.during(func(c rotatortest.Call) rotatortest.Fault {
		if c.Op == rotatortest.OpSetPassword && c.User == userOf(7) {
			select {
			case <-emptied:
				if err := f.nats.Empty(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			default:
			}
		}
		return rotatortest.Fault{}
	})

	report := f.run(t.Context(), "all-1")

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 20})
	f.wantOncePushed(20)
}
