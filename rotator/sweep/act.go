package sweep

import (
	"cmp"
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"mailu-rotator/rotator"
)

// Reasons why a tenant was not begun.
var (
	errInterrupted = errors.New("not begun: the run was interrupted; the next one goes on")
	errWindowOver  = errors.New("not begun: the window is over, the next tick goes on")
)

// act takes the plan's jobs through their servers' queues and returns a row for each
// decision, in the plan's order. The event has the number of jobs.
func (r *run) act(ctx context.Context, plan []Decision, planned rotator.EventName) []Row {
	jobs := make([]*job, len(plan))
	byOrigin := map[rotator.Origin][]*job{}
	todo := 0
	for i := range plan {
		d := &plan[i]
		jobs[i] = &job{Decision: d}
		if d.Action == rotator.Leave {
			r.skip(*d)
			continue
		}
		todo++
		byOrigin[d.Credential.Origin] = append(byOrigin[d.Credential.Origin], jobs[i])
	}
	r.Observe.Notify(rotator.Event{Name: planned, Count: todo})
	r.processQueues(ctx, byOrigin)
	rows := make([]Row, len(jobs))
	for i, j := range jobs {
		rows[i] = r.row(j)
	}
	return rows
}

func (r *run) processQueues(ctx context.Context, byOrigin map[rotator.Origin][]*job) {
	var group errgroup.Group
	for origin, jobs := range byOrigin {
		server, err := r.Mailu.Server(origin)
		if err != nil {
			continue // the plan has no such job
		}
		q := newQueue(r, origin, queueWidth(server), jobs)
		group.Go(func() error {
			q.process(ctx)
			q.finish(ctx)
			return nil
		})
	}
	_ = group.Wait() // its functions return nil
}

// attempt takes one job through the protocol. A second attempt reads the record again
// and decides again.
func (r *run) attempt(ctx context.Context, j *job) rotator.Result {
	// A rotation that this run left half-finished is not a new one: it may be finished.
	if j.Action == rotator.Rotate && j.result.Outcome != rotator.Unfinished && !r.until.IsZero() && !r.clock.Now().Before(r.until) {
		return rotator.Result{Credential: j.Credential, Outcome: rotator.Deferred, Err: errWindowOver}
	}
	ctx, cancel := r.graceful(ctx)
	defer cancel()
	if j.Action == rotator.Add {
		return r.rotator.Add(ctx, r.creator, j.Credential)
	}
	judge := func(c rotator.Credential) (rotator.Action, string) { return judge(r.clock.Now(), c, r.sel) }
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
	if d.Outcome.Failure() || d.Outcome == rotator.Ignored {
		r.Observe.Notify(rotator.Event{Name: rotator.TenantSkipped, Tenant: d.Name, Origin: d.Credential.Origin, Outcome: d.Outcome, Err: errors.New(d.Reason)})
	}
}

func (r *run) row(j *job) Row {
	if j.Action == rotator.Leave {
		return newRow(r.clock.Now(), j.Candidate, j.Outcome, j.Reason)
	}
	c, reason := j.Candidate, cmp.Or(j.result.Reason, j.Reason)
	c.Credential = j.result.Credential
	if j.result.Err != nil {
		reason = j.result.Err.Error()
	}
	return newRow(r.clock.Now(), c, j.result.Outcome, reason)
}
