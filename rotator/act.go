package rotator

import (
	"cmp"
	"context"
	"errors"

	"golang.org/x/sync/errgroup"
)

// act takes the plan's jobs through their servers' lanes and returns a row for each
// decision, in the plan's order. The event has the number of jobs.
func (r *run) act(ctx context.Context, plan []Decision, planned EventName) []Row {
	jobs := make([]*job, len(plan))
	byOrigin := map[Origin][]*job{}
	todo := 0
	for i := range plan {
		d := &plan[i]
		jobs[i] = &job{Decision: d}
		if d.Action == Leave {
			r.skip(*d)
			continue
		}
		todo++
		byOrigin[d.Credential.Origin] = append(byOrigin[d.Credential.Origin], jobs[i])
	}
	r.Observe.observe(Event{Name: planned, Count: todo})
	r.processLanes(ctx, byOrigin)
	rows := make([]Row, len(jobs))
	for i, j := range jobs {
		rows[i] = r.row(j)
	}
	return rows
}

func (r *run) processLanes(ctx context.Context, byOrigin map[Origin][]*job) {
	var group errgroup.Group
	for origin, jobs := range byOrigin {
		server, err := r.Mailu.Server(origin)
		if err != nil {
			continue // the plan has no such job
		}
		l := newLane(r, origin, laneWidth(server), jobs)
		group.Go(func() error {
			l.process(ctx)
			l.conclude(ctx)
			return nil
		})
	}
	_ = group.Wait() // its functions return nil
}

// attempt takes one job through the protocol. A second attempt reads the record again
// and decides again.
func (r *run) attempt(ctx context.Context, j *job) Result {
	// A rotation that this run left half-finished is not a new one: it may be finished.
	if j.Action == Rotate && j.result.Outcome != Unfinished && !r.until.IsZero() && !r.clock.Now().Before(r.until) {
		return Result{Credential: j.Credential, Outcome: Deferred, Err: errWindowOver}
	}
	ctx, cancel := r.graceful(ctx)
	defer cancel()
	if j.Action == Add {
		return r.rotator.Add(ctx, r.registry, j.Credential)
	}
	judge := func(c Credential) (Action, string) { return judge(r.clock.Now(), c, r.sel) }
	insist := r.sel.named(j.Credential.Tenant)
	if j.attempted {
		return r.rotator.Retry(ctx, j.Credential, j.result.Outcome, judge, insist)
	}
	return r.rotator.Rotate(ctx, j.Credential, judge, insist)
}

// graceful returns a context that ends the grace time after parent.
func (r *run) graceful(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		if r.clock.Sleep(ctx, r.Grace) == nil {
			cancel()
		}
	})
	return ctx, func() { stop(); cancel() }
}

// skip reports tenants that are skipped although somebody may expect otherwise.
func (r *run) skip(d Decision) {
	if d.Outcome.Failure() || d.Outcome == Ignored {
		r.Observe.observe(Event{Name: TenantSkipped, Tenant: d.Name, Origin: d.Credential.Origin, Outcome: d.Outcome, Err: errors.New(d.Reason)})
	}
}

func (r *run) row(j *job) Row {
	if j.Action == Leave {
		return newRow(r.clock.Now(), j.Candidate, j.Outcome, j.Reason)
	}
	c, reason := j.Candidate, cmp.Or(j.result.Reason, j.Reason)
	c.Credential = j.result.Credential
	if j.result.Err != nil {
		reason = j.result.Err.Error()
	}
	return newRow(r.clock.Now(), c, j.result.Outcome, reason)
}
