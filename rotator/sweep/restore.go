package sweep

import (
	"context"
	"fmt"
	"slices"

	"mailu-rotator/rotator"
)

// Reseal seals the current password of every selected record with the newest master
// key, if it is sealed with an older one. The password and its last_rotated, which is
// its age, do not change: Mailu is not asked, and users of the password notice nothing.
// It does not touch pending passwords, since a rotation recognizes its password by the
// sealed string; a record with one is skipped, and counts as a failure, because it
// still needs an older key.
func (s *Sweep) Reseal(ctx context.Context, sel Selection) (Report, error) {
	o := operation{started: rotator.ResealStarted, planned: rotator.ResealPlanned, finished: rotator.ResealFinished, sel: sel, process: (*run).resealAll}
	return s.execute(ctx, o, func(r *run) (plan []Decision, err error) {
		r.alone = len(sel.Tenants) > 0
		candidates, err := r.scan(ctx, everything)
		for _, c := range candidates {
			if !r.sel.covers(c) {
				continue
			}
			d := Decision{Candidate: c}
			if d.Outcome, d.Reason = c.Unusable(); d.Outcome == "" {
				d.Action, d.Outcome, d.Reason = rotator.JudgeReseal(r.clock.Now(), c.Credential, r.sel.NewestKey)
			}
			plan = append(plan, d)
		}
		return plan, err
	})
}

// resealAll processes the records as workers become free. Records not started before an
// interrupt are deferred.
func (r *run) resealAll(ctx context.Context, jobs []*job) {
	parallel(r.Workers, len(jobs), func(i int) {
		j := jobs[i]
		j.result = rotator.Result{Credential: j.Credential, Outcome: rotator.Deferred, Err: errInterrupted}
		if ctx.Err() == nil {
			ctx, cancel := r.graceful(ctx)
			defer cancel()
			j.result = r.rotator.Reseal(ctx, j.Credential, r.sel.NewestKey)
		}
		r.report(j)
	})
}

// Rollback restores an earlier password of a tenant, see [Rotator.Rollback]. It reads
// the fleet first, because a password is pushed. An error means that nothing was
// started.
func (s *Sweep) Rollback(ctx context.Context, tenant rotator.TenantID, version int) (row Row, err error) {
	o := operation{started: rotator.RollbackStarted, tenant: string(tenant), sel: Selection{Tenants: []rotator.TenantID{tenant}}}
	err = s.inRun(ctx, o, func(r *run) error {
		c, err := r.unrivalled(ctx, tenant)
		if err != nil {
			return err
		}
		ctx, cancel := r.graceful(ctx)
		defer cancel()
		result, err := r.rotator.Rollback(ctx, c.Credential, version, true)
		if err != nil {
			return err
		}
		j := &job{Decision: &Decision{Candidate: c, Action: rotator.Rotate}, result: result}
		r.report(j)
		row = r.row(j)
		return nil
	})
	return row, err
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
