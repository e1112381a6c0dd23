package rotator

import (
	"context"
	"errors"
	"fmt"
)

// Rollback brings back an earlier password of a tenant, by the same protocol:
// the one that was current in the KV version given, or with version 0 the
// newest one that differs from today's. The password keeps its own
// last_rotated, since that is its age: the policy may call it due at once. A
// half-finished rotation is finished before.
//
// An error means that nothing was begun, such as where there is no such
// version. How a rollback ended that was begun is in the row: [Restored], or a
// failure.
func (s *Sweep) Rollback(ctx context.Context, tenant TenantID, version int) (Row, error) {
	s.Observe.observe(Event{Name: RollbackStarted, Tenant: string(tenant)})
	r, err := s.open(ctx, Selection{Tenants: []TenantID{tenant}})
	if err != nil {
		return Row{}, err
	}
	defer r.keys.Wipe()
	if err := r.host.workers.take(ctx, unbegun); err != nil {
		return Row{}, err
	}
	defer r.host.workers.release()
	c := r.candidate(ctx, string(tenant))
	if c.Err != nil {
		return Row{}, fmt.Errorf("tenant %s: %w", tenant, c.Err)
	}
	if c.Unlisted != nil {
		return Row{}, c.Unlisted
	}
	x := r.rotation(c.Credential)
	defer func() { x.password.Wipe() }()
	ctx, cancel := r.graceful(ctx)
	defer cancel()
	var outcome Outcome
	ctx, end := r.Trace.begin(ctx, Part{Name: PartTenant, Tenant: string(tenant), Origin: c.Credential.Origin, Outcome: &outcome})
	restored, outcome, err := x.rollBack(ctx, version)
	end(err)
	if outcome == "" {
		return Row{}, fmt.Errorf("roll back tenant %s: %w", tenant, err)
	}
	c.Credential = x.cred
	row := newRow(r.clock.Now(), c, outcome, r.rolledBack(x.cred, restored, err))
	r.Observe.observe(Event{Name: TenantDone, Tenant: row.Tenant, Origin: row.Origin, Rotation: x.id, Outcome: outcome, Err: err})
	return row, nil
}

// rolledBack is the reason in the row. It says what the policy makes of the
// password, because the next sweep may replace it.
func (r *run) rolledBack(c Credential, version int, err error) string {
	if err != nil {
		return err.Error()
	}
	_, policy := judge(r.clock.Now(), c, Selection{})
	return fmt.Sprintf("the password of version %d is current again; %s", version, policy)
}

// rollBack returns no outcome where nothing was begun.
func (r *rotation) rollBack(ctx context.Context, version int) (restored int, o Outcome, err error) {
	if r.cred.Pending != nil {
		if o, err := r.finish(ctx); err != nil {
			return 0, failing(o), fmt.Errorf("finish the half-finished rotation first: %w", err)
		}
		r.password.Wipe()
	}
	restored, earlier, err := r.earlier(ctx, version)
	if err != nil {
		return 0, "", err
	}
	o, err = r.install(ctx, earlier)
	return restored, failing(o), err
}

// failing: for a rollback it is no success that somebody else saw to the tenant.
func failing(o Outcome) Outcome {
	if o == Fresh {
		return Failed
	}
	return o
}

// earlier finds the password to bring back.
func (r *rotation) earlier(ctx context.Context, version int) (int, *Pending, error) {
	if version != 0 {
		c, err := r.readVersion(ctx, version)
		switch {
		case err != nil:
			return 0, nil, fmt.Errorf("version %d: %w", version, err)
		case c.BeingAdded():
			return 0, nil, fmt.Errorf("version %d has no password yet: the tenant was being added", version)
		case c.Password == r.cred.Password:
			return 0, nil, fmt.Errorf("version %d has today's password: name another one; `vault kv metadata get` lists them", version)
		}
		return version, c.current(), nil
	}
	for version, c := range r.versions(ctx, r.cred.Version-1) {
		if c.Password != r.cred.Password && !c.BeingAdded() {
			return version, c.current(), nil
		}
	}
	if err := ctx.Err(); err != nil {
		return 0, nil, err
	}
	return 0, nil, errors.New("the history of the record has no other password: nothing can be brought back; --run-now --tenant makes a new one")
}

// rotation is c on its way, outside a lane. The caller holds a slot.
func (r *run) rotation(c Credential) *rotation {
	server, _ := r.rotator.Mailu.Server(c.Origin) // callers have asked whether it is listed
	return &rotation{
		Rotator: r.rotator, server: server, cred: c, id: newRotationID(), insist: r.sel.named(c.Tenant),
		judge: func(c Credential) (Action, string) { return judge(r.clock.Now(), c, r.sel) },
	}
}
