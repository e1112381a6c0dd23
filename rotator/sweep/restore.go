package sweep

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"mailu-rotator/rotator"
)

// Reseal seals the current password of every selected record with the newest master
// key, if it is sealed with an older one. The password and its last_rotated, which is
// its age, do not change: Mailu is not asked, and users of the password notice nothing.
// It does not touch pending passwords, since a rotation recognizes its password by the
// sealed string; a record with one is skipped, and counts as a failure, because it
// still needs an older key.
func (s *Sweep) Reseal(ctx context.Context, sel Selection) (Report, error) {
	report := Report{Started: s.Clock.Now()}
	s.Observe.Notify(rotator.Event{Name: rotator.ResealStarted})
	r, plan, err := s.planReseal(ctx, sel)
	if err != nil {
		return report, err
	}
	defer r.keys.Wipe()
	report.Rows = r.resealAll(ctx, plan)
	report.Finished = s.Clock.Now()
	s.Observe.Notify(rotator.Event{Name: rotator.ResealFinished, Count: report.Failures()})
	return report, nil
}

// PlanReseal reads the records and reports what Reseal would do. It writes nothing.
func (s *Sweep) PlanReseal(ctx context.Context, sel Selection) (Report, error) {
	report := Report{Started: s.Clock.Now(), DryRun: true}
	r, plan, err := s.planReseal(ctx, sel)
	if err != nil {
		return report, err
	}
	defer r.keys.Wipe()
	report.Rows = r.foresee(plan)
	report.Finished = s.Clock.Now()
	return report, nil
}

func (s *Sweep) planReseal(ctx context.Context, sel Selection) (*run, []Decision, error) {
	r, err := s.open(ctx, sel)
	if err != nil {
		return nil, nil, err
	}
	r.alone = len(sel.Tenants) > 0
	candidates, err := r.scan(ctx, everything)
	if err != nil {
		r.keys.Wipe()
		return nil, nil, err
	}
	var plan []Decision
	for _, c := range candidates {
		if r.sel.covers(c) {
			plan = append(plan, r.decideReseal(c))
		}
	}
	return r, plan, nil
}

func (r *run) decideReseal(c rotator.Candidate) Decision {
	d := Decision{Candidate: c}
	if d.Outcome, d.Reason = c.Unusable(); d.Outcome == "" {
		d.Action, d.Outcome, d.Reason = rotator.JudgeReseal(r.clock.Now(), c.Credential, r.sel.NewestKey)
	}
	return d
}

// resealAll processes the records as workers become free, and returns a row for each
// decision. Records not started before an interrupt are deferred.
func (r *run) resealAll(ctx context.Context, plan []Decision) []Row {
	todo := 0
	for _, d := range plan {
		if d.Action == rotator.Reseal {
			todo++
		}
	}
	r.Observe.Notify(rotator.Event{Name: rotator.ResealPlanned, Count: todo})
	rows := make([]Row, len(plan))
	var group errgroup.Group
	group.SetLimit(max(r.Workers, 1))
	for i, d := range plan {
		if d.Action == rotator.Leave {
			r.skip(d)
			rows[i] = newRow(r.clock.Now(), d.Candidate, d.Outcome, d.Reason)
			continue
		}
		group.Go(func() error {
			rows[i] = r.resealOne(ctx, d)
			return nil
		})
	}
	_ = group.Wait() // its functions return nil
	return rows
}

func (r *run) resealOne(ctx context.Context, d Decision) Row {
	result := rotator.Result{Credential: d.Credential, Outcome: rotator.Deferred, Err: errInterrupted}
	if ctx.Err() == nil {
		ctx, cancel := r.graceful(ctx)
		defer cancel()
		result = r.rotator.Reseal(ctx, d.Credential, r.sel.NewestKey)
	}
	j := &job{Decision: &d, result: result}
	r.Observe.Notify(rotator.Event{Name: rotator.TenantDone, Tenant: d.Name, Origin: d.Credential.Origin, Rotation: result.Rotation, Outcome: result.Outcome, Err: result.Err})
	return r.row(j)
}

// Rollback restores an earlier password of a tenant, see [Rotator.Rollback]. It reads
// the fleet first, because a password is pushed. An error means that nothing was
// started.
func (s *Sweep) Rollback(ctx context.Context, tenant rotator.TenantID, version int) (Row, error) {
	s.Observe.Notify(rotator.Event{Name: rotator.RollbackStarted, Tenant: string(tenant)})
	r, err := s.open(ctx, Selection{Tenants: []rotator.TenantID{tenant}})
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
	r.Observe.Notify(rotator.Event{Name: rotator.TenantDone, Tenant: row.Tenant, Origin: row.Origin, Rotation: result.Rotation, Outcome: result.Outcome, Err: result.Err})
	return row, nil
}

// unrivalled reads the fleet for one tenant, to which a password will be pushed.
func (r *run) unrivalled(ctx context.Context, tenant rotator.TenantID) (rotator.Candidate, error) {
	candidates, err := r.scan(ctx, everything)
	if err != nil {
		return rotator.Candidate{}, err
	}
	i := slices.IndexFunc(candidates, func(c rotator.Candidate) bool { return c.Name == string(tenant) })
	c := candidates[i] // a scan returns the requested tenant
	rivals := duplicateUsers(candidates)[rotator.UserKey(c)]
	switch {
	case c.Err != nil:
		return c, fmt.Errorf("tenant %s: %w", tenant, c.Err)
	case rivals > 1:
		return c, fmt.Errorf("tenant %s: %w", tenant, rotator.DuplicateUser(c, rivals))
	}
	return c, c.Unlisted
}
