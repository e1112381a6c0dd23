package rotator

import (
	"context"
	"errors"
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
	f := Finding{Tenant: c.Name, User: c.Credential.Username, Origin: c.Credential.Origin}
	asked := !c.Ignored && c.Err == nil && c.Unlisted == nil
	if asked && silent.Load() >= maxSilent {
		f.State, f.Reason = StateUnreachable, fmt.Sprintf("not asked: the server left %d in a row without an answer", maxSilent)
	} else {
		planned := userKey(c)
		c = r.examineCurrent(ctx, c, &f)
		if userKey(c) != planned { // it now names another user
			rivals = r.users.count(c) + 1
		}
		listen(silent, asked, f.State)
	}
	switch {
	case rivals > 1 && f.Problem():
		f.Reason += "; " + rivalry(c, rivals).Error()
	case repair && f.repairable(c):
		r.repair(ctx, c, &f)
	}
	if ctx.Err() == nil || f.Repaired { // an interrupted check is no finding
		r.Observe.observe(Event{Name: TenantVerified, Tenant: f.Tenant, Origin: f.Origin, State: f.State, Err: f.problem()})
	}
	return f
}

// repairable reports whether a repair may help. A malformed record cannot be restored
// from its history.
func (f Finding) repairable(c Candidate) bool {
	switch f.State {
	case StateDrift:
		return true
	case StatePending:
		return !f.UnderWay
	case StateUnproven:
		return f.Unprovable
	case StateUnreadable:
		return c.Err == nil || errors.Is(c.Err, ErrAbsent)
	}
	return false
}

// examineCurrent checks again if the record changed between its reading and Mailu's
// answer: a rotation that another process finished in between would look like drift. It
// returns the record that the finding concerns.
func (r *run) examineCurrent(ctx context.Context, c Candidate, f *Finding) Candidate {
	r.examine(ctx, c, f)
	if !f.Problem() || f.State == StateUnreachable || c.Err != nil {
		return c
	}
	fresh := r.candidate(ctx, c.Name)
	if fresh.Err != nil || fresh.Credential.Version == c.Credential.Version {
		return c
	}
	f.User, f.Origin = fresh.Credential.Username, fresh.Credential.Origin
	r.examine(ctx, fresh, f)
	return fresh
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
