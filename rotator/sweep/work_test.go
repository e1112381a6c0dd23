package sweep_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// bench is a worker and its results.
type bench struct {
	*fleet
	session *sweep.WorkSession
	batch   sweep.Batch
	held    func() bool

	mu      sync.Mutex
	results map[rotator.TenantID]sweep.Settled
}

// newBench plans a run over everything, for a worker.
func newBench(t *testing.T, f *fleet, sel sweep.Selection) *bench {
	t.Helper()
	engine := &script{}
	planner := f.process(t, "planner")
	planner.Engine = engine
	if _, err := planner.Run(t.Context(), sel, 0); err != nil {
		t.Fatal(err)
	}
	session, err := f.sweep.OpenWork(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	b := &bench{fleet: f, session: session, results: map[rotator.TenantID]sweep.Settled{}, held: func() bool { return true }}
	b.batch = sweep.Batch{Order: engine.order, Origin: serverA, Assignments: engine.assignments}
	return b
}

func (b *bench) work(ctx context.Context) error {
	return b.sweep.Work(ctx, b.session, b.batch, b.held, func(s sweep.Settled) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.results[s.Tenant] = s
	})
}

func TestWorkerDecidesAgain(t *testing.T) {
	now := func(f *fleet) string { return f.began.Add(time.Second).UTC().Format(time.RFC3339) }
	edit := func(field string, value any) func(*testing.T, *fleet) {
		return func(_ *testing.T, f *fleet) {
			f.store.Edit(string(tenant(1)), func(fields map[string]any) { fields[field] = value })
		}
	}
	for name, c := range map[string]struct {
		meanwhile func(*testing.T, *fleet)
		want      rotator.Outcome
		reason    string
	}{
		"as planned":                {func(*testing.T, *fleet) {}, rotator.Rotated, ""},
		"rotated meanwhile":         {func(_ *testing.T, f *fleet) { edit("last_rotated", now(f))(nil, f) }, rotator.Fresh, "rotated since"},
		"half-finished":             {func(t *testing.T, f *fleet) { f.leave(t, 1, "another", f.began.Add(-time.Hour)) }, rotator.Finished, ""},
		"another user":              {edit("username", userOf(7)), rotator.Deferred, "its user or server changed"},
		"another server":            {edit("webmail_url", string(serverB)), rotator.Deferred, "its user or server changed"},
		"the user in other letters": {edit("username", strings.ToUpper(userOf(1))), rotator.Rotated, ""},
		"an unlisted server":        {edit("webmail_url", "https://nowhere.example"), rotator.Invalid, "nowhere.example"},
		"malformed":                 {edit("webmail_url", "nowhere"), rotator.Invalid, "webmail_url"},
		"deleted":                   {func(_ *testing.T, f *fleet) { f.store.Delete(string(tenant(1))) }, rotator.Invalid, "deleted"},
		"not readable": {func(_ *testing.T, f *fleet) {
			f.fault = func(c rotatortest.Call) rotatortest.Fault {
				if c.Tenant == tenant(1) && c.Op == rotatortest.OpRead {
					return rotatortest.Fault{Before: errors.New("500")}
				}
				return rotatortest.Fault{}
			}
		}, rotator.Failed, "500"},
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1, 2)
				f.mailu.AddUser(userOf(7), "old password")
				b := newBench(t, f, sweep.Selection{All: true})
				time.Sleep(2 * time.Second)
				c.meanwhile(t, f)

				if err := b.work(t.Context()); err != nil {
					t.Fatal(err)
				}

				got := b.results[tenant(1)]
				if got.Outcome != c.want || !strings.Contains(got.Reason, c.reason) || got.Origin != serverA {
					t.Errorf("the result is %+v, want %s, %q", got, c.want, c.reason)
				}
				if b.results[tenant(2)].Outcome != rotator.Rotated {
					t.Errorf("the other one is %+v", b.results[tenant(2)])
				}
			})
		})
	}
}

func TestWorkerGoesByTheOrder(t *testing.T) {
	for name, c := range map[string]struct {
		order func(*sweep.Order, time.Time)
		want  rotator.Outcome
	}{
		"all":                      {func(*sweep.Order, time.Time) {}, rotator.Rotated},
		"those not rotated since":  {func(o *sweep.Order, now time.Time) { o.RotatedBefore = now.AddDate(-3, 0, 0) }, rotator.Fresh},
		"those under an older key": {func(o *sweep.Order, now time.Time) { o.RotatedBefore = now.AddDate(-3, 0, 0); o.NewestKey = 2 }, rotator.Rotated},
		"only half-finished ones":  {func(o *sweep.Order, _ time.Time) { o.All, o.PendingOnly = false, true }, rotator.Fresh},
		"the due ones":             {func(o *sweep.Order, _ time.Time) { o.All = false }, rotator.Rotated},
		"before the end":           {func(o *sweep.Order, now time.Time) { o.Until = now.Add(time.Minute) }, rotator.Rotated},
		"after the end":            {func(o *sweep.Order, now time.Time) { o.Until = now }, rotator.Deferred},
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1)
				b := newBench(t, f, sweep.Selection{All: true})
				c.order(&b.batch.Order, time.Now())

				if err := b.work(t.Context()); err != nil {
					t.Fatal(err)
				}

				if got := b.results[tenant(1)]; got.Outcome != c.want {
					t.Errorf("the result is %+v, want %s", got, c.want)
				}
			})
		})
	}
}

func TestHalfFinishedIsFinishedByAWorkerAfterTheEnd(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		b := newBench(t, f, sweep.Selection{})
		f.leave(t, 1, "another", f.began.Add(-time.Hour))
		b.batch.Until = f.began

		if err := b.work(t.Context()); err != nil {
			t.Fatal(err)
		}

		if got := b.results[tenant(1)]; got.Outcome != rotator.Finished {
			t.Errorf("the result is %+v, want that it was finished", got)
		}
	})
}

func TestWorkerThatLosesItsBatchBeginsNothingMore(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3, 4, 5, 6, 7, 8, 9)
		b := newBench(t, f, sweep.Selection{All: true})
		b.held = func() bool { return len(f.of(rotatortest.OpSetPassword)) == 0 }

		if err := b.work(t.Context()); err != nil {
			t.Fatal(err)
		}

		if len(b.results) != 1 || b.results[tenant(1)].Outcome != rotator.Rotated { // the canary
			t.Errorf("the results are %+v, want one", b.results)
		}
		f.mustRest(t, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	})
}

func TestStoppedWorkerLeavesOutWhatItDidNotBegin(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3)
		b := newBench(t, f, sweep.Selection{All: true})
		ctx, stop := context.WithCancel(t.Context())
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpSetPassword {
				stop()
			}
			return rotatortest.Fault{}
		}

		if err := b.work(ctx); err != nil {
			t.Fatal(err)
		}

		if len(b.results) != 1 {
			t.Errorf("the results are %+v, want only that of the canary", b.results)
		}
	})
}

func TestWorkerSaysWhyItGaveTheServerUp(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3)
		b := newBench(t, f, sweep.Selection{All: true})
		refused := errors.Join(errors.New("403 Invalid API token"), rotator.ErrServerUnusable)
		f.fault = failing(refused, 1, 2, 3)

		err := b.work(t.Context())

		givenUp, is := errors.AsType[*sweep.GivenUpError](err)
		if !is || !errors.Is(err, rotator.ErrServerUnusable) || !strings.Contains(givenUp.Error(), "403 Invalid API token") {
			t.Errorf("error %v, want that the server was given up", err)
		}
		if b.results[tenant(1)].Outcome != rotator.Failed || b.results[tenant(2)].Outcome != rotator.Blocked || len(b.results) != 3 {
			t.Errorf("the results are %+v", b.results)
		}
	})
}

func TestBatchOfAnUnlistedServer(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		b := newBench(t, f, sweep.Selection{All: true})
		b.batch.Origin = "https://nowhere.example"

		err := b.work(t.Context())

		if _, is := errors.AsType[*sweep.GivenUpError](err); is || !errors.Is(err, rotator.ErrOriginNotListed) || len(b.results) > 0 {
			t.Errorf("error %v, results %+v, want that another worker gets the batch", err, b.results)
		}
	})
}

func TestResultSurvivesItsMessage(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.leave(t, 2, "another", time.Now().Add(time.Hour/2))
		f.sweep.ClaimTTL = time.Minute
		b := newBench(t, f, sweep.Selection{All: true})
		if err := b.work(t.Context()); err != nil {
			t.Fatal(err)
		}
		if pending := b.results[tenant(2)].Pending; pending == nil || pending.Owner != "another" || pending.LastRotated == "" {
			t.Fatalf("the result is %+v, want the claim", b.results[tenant(2)])
		}
		if policy := b.results[tenant(1)].Policy; policy != "180_days" {
			t.Errorf("the policy is %q", policy)
		}
		engine := &script{}
		for _, s := range b.results {
			text, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			var read sweep.Settled
			if err := json.Unmarshal(text, &read); err != nil || !reflect.DeepEqual(read, s) {
				t.Errorf("read %+v, error %v, want %+v", read, err, s)
			}
			engine.results = append(engine.results, read)
			engine.assignments = append(engine.assignments, sweep.Assignment{Tenant: s.Tenant, Origin: s.Origin})
		}
		f.events = nil // those of the planner

		report, err := f.process(t, "terminal").Attach(t.Context(), engine)

		if err != nil || report.Count(rotator.Rotated) != 1 || report.Count(rotator.Claimed) != 1 {
			t.Errorf("the report is %+v, error %v", report, err)
		}
		for _, event := range f.told(rotator.TenantReported) {
			if claimed := event.Status.Pending != nil; claimed != (event.Tenant == string(tenant(2))) {
				t.Errorf("the status of %s is %+v", event.Tenant, event.Status)
			}
		}
	})
}
