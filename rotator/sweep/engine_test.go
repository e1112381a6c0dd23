package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// script is an engine whose workers report what the test says.
type script struct {
	unserved rotator.Origin
	results  []sweep.Settled
	err      error
	during   func()

	executed    int
	order       sweep.Order
	assignments []sweep.Assignment
}

func (s *script) Serves(_ context.Context, origin rotator.Origin) error {
	if origin == s.unserved {
		return sweep.ErrNoWorker
	}
	return nil
}

func (s *script) Execute(_ context.Context, _ *crypto.Keyring, order sweep.Order, all []sweep.Assignment, settled func(sweep.Settled)) error {
	s.executed++
	s.order, s.assignments = order, all
	if s.during != nil {
		s.during()
	}
	for _, result := range s.results {
		settled(result)
	}
	return s.err
}

// Assignments and Follow make it a run of another process.
func (s *script) Assignments(context.Context, *crypto.Keyring) (sweep.Order, []sweep.Assignment, error) {
	return s.order, s.assignments, s.err
}

func (s *script) Follow(ctx context.Context, keys *crypto.Keyring, settled func(sweep.Settled)) error {
	return s.Execute(ctx, keys, s.order, s.assignments, settled)
}

// became is a result of tenant 1.
func became(outcome rotator.Outcome) sweep.Settled {
	return sweep.Settled{Tenant: tenant(1), User: userOf(1), Origin: serverA, Outcome: outcome, Reason: "of a worker"}
}

// rotatedBy is a result with another time of the last rotation than the plan saw.
func rotatedBy(outcome rotator.Outcome) sweep.Settled {
	s := became(outcome)
	s.LastRotated, s.Reason = "2026-11-23T12:00:00.000Z", ""
	return s
}

func TestResultsOfWorkers(t *testing.T) {
	lost := errors.New("NATS is gone")
	expires := rotatedBy(rotator.Rotated)
	expires.Reason = "the record expires"
	for name, c := range map[string]struct {
		results []sweep.Settled
		err     error
		want    rotator.Outcome
		reason  string
	}{
		"rotated":                           {[]sweep.Settled{rotatedBy(rotator.Rotated)}, nil, rotator.Rotated, "asked for"},
		"rotated, with a remark":            {[]sweep.Settled{expires}, nil, rotator.Rotated, "the record expires"},
		"rotated, then found done":          {[]sweep.Settled{rotatedBy(rotator.Rotated), rotatedBy(rotator.Fresh)}, nil, rotator.Rotated, "asked for"},
		"finished, then found done":         {[]sweep.Settled{rotatedBy(rotator.Finished), rotatedBy(rotator.Fresh)}, nil, rotator.Finished, "asked for"},
		"rotated, then not begun":           {[]sweep.Settled{rotatedBy(rotator.Rotated), became(rotator.Blocked)}, nil, rotator.Rotated, "asked for"},
		"rotated, then failed":              {[]sweep.Settled{rotatedBy(rotator.Rotated), became(rotator.Failed)}, nil, rotator.Rotated, "asked for"},
		"found done, and nobody said so":    {[]sweep.Settled{rotatedBy(rotator.Fresh)}, nil, rotator.Rotated, "found rotated at 2026-11-23T12:00:00.000Z"},
		"unfinished, then found done":       {[]sweep.Settled{became(rotator.Unfinished), rotatedBy(rotator.Fresh)}, nil, rotator.Rotated, "found rotated at 2026-11-23T12:00:00.000Z"},
		"unfinished, then finished":         {[]sweep.Settled{became(rotator.Unfinished), rotatedBy(rotator.Finished)}, nil, rotator.Finished, "asked for"},
		"claimed, then rotated":             {[]sweep.Settled{became(rotator.Claimed), rotatedBy(rotator.Rotated)}, nil, rotator.Rotated, "asked for"},
		"failed, then stuck":                {[]sweep.Settled{became(rotator.Failed), became(rotator.Stuck)}, nil, rotator.Stuck, "of a worker"},
		"failed, then blocked":              {[]sweep.Settled{became(rotator.Failed), became(rotator.Blocked)}, nil, rotator.Failed, "of a worker"},
		"failed, then deferred":             {[]sweep.Settled{became(rotator.Failed), became(rotator.Deferred)}, nil, rotator.Failed, "of a worker"},
		"failed, then fresh":                {[]sweep.Settled{became(rotator.Failed), became(rotator.Fresh)}, nil, rotator.Failed, "of a worker"},
		"nothing to do":                     {[]sweep.Settled{became(rotator.Fresh)}, nil, rotator.Fresh, "of a worker"},
		"no result":                         {nil, nil, rotator.Blocked, "no worker reported a result: the next run sees what was done"},
		"no result, since the engine fails": {nil, lost, rotator.Blocked, "NATS is gone"},
		"no result, since it was withdrawn": {nil, fmt.Errorf("run 1: %w", sweep.ErrWithdrawn), rotator.Deferred, "run 1: " + sweep.ErrWithdrawn.Error()},
		"a result before the engine fails":  {[]sweep.Settled{rotatedBy(rotator.Rotated)}, lost, rotator.Rotated, "asked for"},
		"somebody else's result":            {[]sweep.Settled{{Tenant: tenant(7), Outcome: rotator.Rotated}}, nil, rotator.Blocked, "no worker reported a result: the next run sees what was done"},
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1)
				f.sweep.Engine = &script{results: c.results, err: c.err}

				row := f.run(t, sweep.Selection{All: true}).Rows[0]

				if row.Outcome != c.want || row.Reason != c.reason || row.User != userOf(1) || row.Origin != serverA {
					t.Errorf("the row is %+v, want %s, %q", row, c.want, c.reason)
				}
				if told := f.told(rotator.TenantReported); len(told) != 1 || told[0].Tenant != string(tenant(1)) || told[0].Origin != serverA {
					t.Errorf("the events are %+v, want one", told)
				}
				if row.Outcome == rotator.Rotated && f.told(rotator.TenantReported)[0].Err != nil && len(c.results) == 1 {
					t.Errorf("the event has the error %v", f.told(rotator.TenantReported)[0].Err)
				}
				if len(f.told(rotator.TenantDone)) > 0 || len(f.of(rotatortest.OpWrite)) > 0 || len(f.of(rotatortest.OpKnows)) > 0 {
					t.Error("the planner worked on the tenant")
				}
			})
		})
	}
}

func TestFinishedTenantIsHalfFinishedNoLonger(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.leave(t, 1, "another", f.began)
		f.sweep.Engine = &script{results: []sweep.Settled{rotatedBy(rotator.Finished)}}

		f.run(t, sweep.Selection{PendingOnly: true})

		if told := f.told(rotator.TenantReported); len(told) != 1 || told[0].Status.Pending != nil || told[0].Status.LastRotated != "2026-11-23T12:00:00.000Z" {
			t.Errorf("the events are %+v", told)
		}
	})
}

func TestInterruptedRunOfAnEngine(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		ctx, interrupt := context.WithCancel(t.Context())
		f.sweep.Engine = &script{results: []sweep.Settled{rotatedBy(rotator.Rotated)}, err: sweep.ErrWithdrawn, during: interrupt}

		report := f.runWithin(t, ctx, sweep.Selection{All: true}, 0)

		mustEnd(t, report, "1 rotated, 2 deferred")
		if want := "not begun: the run was interrupted; the next one goes on"; report.Rows[1].Reason != want {
			t.Errorf("the reason is %q", report.Rows[1].Reason)
		}
	})
}

func TestOrderForAnEngine(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.add(serverB, 3)
		f.store.Put(string(tenant(9)), map[string]any{"username": "x"}) // malformed
		engine := &script{unserved: serverB}
		f.sweep.Engine = engine

		report := f.runWithin(t, t.Context(), sweep.Selection{All: true}, time.Hour)

		want := sweep.Order{All: true, RotatedBefore: report.RotatedBefore, NewestKey: 1, Until: f.began.Add(time.Hour)}
		if engine.order != want {
			t.Errorf("the order is %+v, want %+v", engine.order, want)
		}
		if len(engine.assignments) != 2 || engine.assignments[0].Tenant != tenant(1) || engine.assignments[1].Tenant != tenant(2) ||
			engine.assignments[0].Origin != serverA || engine.assignments[0].User == engine.assignments[1].User {
			t.Errorf("the assignments are %+v", engine.assignments)
		}
		mustEnd(t, report, "1 blocked, 2 blocked, 9 invalid, 3 blocked")
		if report.Rows[3].Reason != sweep.ErrNoWorker.Error() {
			t.Errorf("the reason is %q", report.Rows[3].Reason)
		}
	})
}

func TestEngineIsNotAsked(t *testing.T) {
	for name, c := range map[string]struct {
		sel  sweep.Selection
		dry  bool
		want string
	}{
		"about named tenants":  {sweep.Selection{Tenants: []rotator.TenantID{tenant(1)}}, false, "1 rotated"},
		"in a dry run":         {sweep.Selection{All: true}, true, "1 planned"},
		"with nothing to do":   {sweep.Selection{PendingOnly: true}, false, "1 fresh"},
		"about another server": {sweep.Selection{Origins: []rotator.Origin{serverA}, PendingOnly: true}, false, "1 fresh"},
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1)
				engine := &script{}
				f.sweep.Engine, f.sweep.DryRun = engine, c.dry

				report := f.run(t, c.sel)

				mustEnd(t, report, c.want)
				if engine.executed > 0 {
					t.Error("the engine was asked")
				}
			})
		})
	}
}

func TestAttachedRun(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		cutOff := f.began.Add(-time.Hour)
		running := &script{
			order:       sweep.Order{All: true, RotatedBefore: cutOff},
			assignments: []sweep.Assignment{{Tenant: tenant(2), Origin: serverB}, {Tenant: tenant(1), Origin: serverA}, {Tenant: tenant(3), Origin: serverA}},
			results:     []sweep.Settled{rotatedBy(rotator.Rotated), {Tenant: tenant(3), Outcome: rotator.Fresh, LastRotated: "2026-11-23T12:00:00.000Z", Reason: "rotated since"}},
		}

		report, err := f.sweep.Attach(t.Context(), running)

		if err != nil {
			t.Fatal(err)
		}
		mustEnd(t, report, "2 blocked, 1 rotated, 3 fresh")
		if !report.RotatedBefore.Equal(cutOff) || report.Rows[0].Origin != serverB || report.Rows[1].User != userOf(1) || report.Rows[1].Reason != "" {
			t.Errorf("the report is %+v", report)
		}
	})
}

func TestInterruptedAttachment(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		ctx, interrupt := context.WithCancel(t.Context())
		running := &script{assignments: []sweep.Assignment{{Tenant: tenant(1), Origin: serverA}}, during: interrupt}

		report, err := f.sweep.Attach(ctx, running)

		if err != nil {
			t.Fatal(err)
		}
		mustEnd(t, report, "1 deferred")
		if want := "no result so far: the workers go on"; !strings.HasPrefix(report.Rows[0].Reason, want) {
			t.Errorf("the reason is %q", report.Rows[0].Reason)
		}
	})
}

func TestAttachToNoRun(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		unknown := errors.New("no such run")

		if _, err := f.sweep.Attach(t.Context(), &script{err: unknown}); !errors.Is(err, unknown) {
			t.Errorf("error %v, want %v", err, unknown)
		}
	})
}
