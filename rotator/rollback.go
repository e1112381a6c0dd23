package rotator

import (
	"context"
	"fmt"
	"slices"
)

// Rollback restores an earlier password of a tenant, see [Rotator.Rollback]. It reads
// the fleet first, because a password is pushed. An error means that nothing was
// started.
func (s *Sweep) Rollback(ctx context.Context, tenant TenantID, version int) (Row, error) {
	s.Observe.observe(Event{Name: RollbackStarted, Tenant: string(tenant)})
	r, err := s.open(ctx, Selection{Tenants: []TenantID{tenant}})
	if err != nil {
		return Row{}, err
	}
	defer r.keys.Wipe()
	c, err := r.unrivalled(ctx, tenant)
	if err != nil {
		return Row{}, err
	}
	ctx, cancel := r.graceful(ctx)
	defer cancel()
	result, err := r.rotator.Rollback(ctx, c.Credential, version, true)
	if err != nil {
		return Row{}, err
	}
	c.Credential = result.Credential
	row := newRow(r.clock.Now(), c, result.Outcome, result.Reason)
	r.Observe.observe(Event{Name: TenantDone, Tenant: row.Tenant, Origin: row.Origin, Rotation: result.Rotation, Outcome: result.Outcome, Err: result.Err})
	return row, nil
}

// unrivalled reads the fleet for one tenant, to which a password will be pushed.
func (r *run) unrivalled(ctx context.Context, tenant TenantID) (Candidate, error) {
	candidates, err := r.survey(ctx, everything)
	if err != nil {
		return Candidate{}, err
	}
	i := slices.IndexFunc(candidates, func(c Candidate) bool { return c.Name == string(tenant) })
	c := candidates[i] // a survey returns the requested tenant
	rivals := sharedUsers(candidates)[userKey(c)]
	switch {
	case c.Err != nil:
		return c, fmt.Errorf("tenant %s: %w", tenant, c.Err)
	case rivals > 1:
		return c, fmt.Errorf("tenant %s: %w", tenant, rivalry(c, rivals))
	}
	return c, c.Unlisted
}
