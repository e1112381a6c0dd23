package rotator

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// maxSilent is how many tenants in a row a server may leave without an answer, after
// the client's own retries, before a verification skips the server.
const maxSilent = 3

// inspect makes a finding for each candidate. Servers are queried concurrently, so that
// a slow or dead one does not delay the others.
func (r *run) inspect(ctx context.Context, candidates []Candidate, repair bool, rivals map[string]int) []Finding {
	findings := make([]Finding, len(candidates))
	byOrigin := map[Origin][]int{}
	for i, c := range candidates {
		byOrigin[c.Credential.Origin] = append(byOrigin[c.Credential.Origin], i)
	}
	var all errgroup.Group
	for origin, indexes := range byOrigin {
		all.Go(func() error {
			var silent atomic.Int64
			var group errgroup.Group
			group.SetLimit(r.width(origin))
			for _, i := range indexes {
				if ctx.Err() != nil {
					break
				}
				group.Go(func() error {
					c := candidates[i]
					findings[i] = r.find(ctx, c, repair, rivals[userKey(c)], &silent)
					return nil
				})
			}
			return group.Wait()
		})
	}
	_ = all.Wait() // its functions return nil
	return findings
}

// width is the number of a server's tenants that are checked concurrently, as in a
// lane.
func (r *run) width(origin Origin) int {
	server, err := r.Mailu.Server(origin)
	if err != nil {
		return 1 // none of them is requested
	}
	return 2 * server.MaxConcurrent()
}

// find examines one tenant, and repairs it if requested. For tenants that share a user
// the repair of one would be the drift of another.
func (r *run) find(ctx context.Context, c Candidate, repair bool, rivals int, silent *atomic.Int64) Finding {
	f := newFinding(c)
	asked := !c.Ignored && c.Err == nil && c.Unlisted == nil
	if asked && silent.Load() >= maxSilent {
		f.State, f.Reason = StateUnreachable, fmt.Sprintf("not asked: the server left %d in a row without an answer", maxSilent)
	} else {
		planned := userKey(c)
		f, c = r.rotator.Verify(ctx, c)
		if userKey(c) != planned { // it now names another user
			rivals = r.users.count(c) + 1
		}
		listen(silent, asked, f.State)
	}
	switch {
	case rivals > 1 && f.Problem():
		f.Reason += "; " + rivalry(c, rivals).Error()
	case repair && f.Repairable(c):
		f = r.repair(ctx, c, f)
	}
	if ctx.Err() == nil || f.Repaired { // an interrupted check is no finding
		r.Observe.observe(Event{Name: TenantVerified, Tenant: f.Tenant, Origin: f.Origin, State: f.State, Err: f.ProblemError()})
	}
	return f
}

// listen counts the consecutive tenants without an answer from a server.
func listen(silent *atomic.Int64, asked bool, s State) {
	switch {
	case !asked || s == StateUnreadable: // the server was not involved
	case s == StateUnreachable:
		silent.Add(1)
	default:
		silent.Store(0)
	}
}

// repair is bounded by the grace time after an interrupt.
func (r *run) repair(ctx context.Context, c Candidate, f Finding) Finding {
	ctx, cancel := r.graceful(ctx)
	defer cancel()
	return r.rotator.Repair(ctx, c, f, r.unshared, r.sel.named(c.Credential.Tenant))
}

// unshared refuses a deleted record, which no survey contains, if another tenant now
// has its user.
func (r *run) unshared(c Credential) error {
	candidate := Candidate{Name: string(c.Tenant), Credential: c, API: r.Mailu.API(c.Origin)}
	if others := r.users.count(candidate); others > 0 {
		return rivalry(candidate, others+1)
	}
	return nil
}
