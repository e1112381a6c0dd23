package rotator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"mailu-rotator/crypto"
)

// Reseal seals the current password of every selected record with the newest master
// key, if it is sealed with an older one. The password and its last_rotated, which is
// its age, do not change: Mailu is not asked, and users of the password notice nothing.
// It does not touch pending passwords, since a rotation recognizes its password by the
// sealed string; a record with one is skipped, and counts as a failure, because it
// still needs an older key.
func (s *Sweep) Reseal(ctx context.Context, sel Selection) (Report, error) {
	report := Report{Started: s.Clock.Now()}
	s.Observe.observe(Event{Name: ResealStarted})
	r, plan, err := s.planReseal(ctx, sel)
	if err != nil {
		return report, err
	}
	defer r.keys.Wipe()
	report.Rows = r.resealAll(ctx, plan)
	report.Finished = s.Clock.Now()
	s.Observe.observe(Event{Name: ResealFinished, Count: report.Failures()})
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
	candidates, err := r.survey(ctx, everything)
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

func (r *run) decideReseal(c Candidate) Decision {
	d := Decision{Candidate: c}
	if d.Outcome, d.Reason = c.unfit(); d.Outcome == "" {
		d.Action, d.Outcome, d.Reason = judgeReseal(r.clock.Now(), c.Credential, r.sel.NewestKey)
	}
	return d
}

// judgeReseal is called again if the record has changed since the plan.
func judgeReseal(now time.Time, c Credential, newest crypto.KeyVersion) (Action, Outcome, string) {
	switch {
	case c.Pending != nil && c.Pending.Claim.live(now):
		return Leave, Claimed, rotationUnderWay(c.Pending.Claim) + ": run this again after it"
	case c.Pending != nil:
		return Leave, Unfinished, c.halfFinished() + ": finish it first (--run-now --due-only), then run this again"
	case c.KeyVersion == newest:
		return Leave, Fresh, fmt.Sprintf("sealed with key version %d", c.KeyVersion)
	case c.KeyVersion == 0:
		return Reseal, "", fmt.Sprintf("to be sealed with key version %d; the one it has is not recorded", newest)
	}
	return Reseal, "", fmt.Sprintf("to be sealed with key version %d instead of %d", newest, c.KeyVersion)
}

// resealAll processes the records as workers become free, and returns a row for each
// decision. Records not started before an interrupt are deferred.
func (r *run) resealAll(ctx context.Context, plan []Decision) []Row {
	todo := 0
	for _, d := range plan {
		if d.Action == Reseal {
			todo++
		}
	}
	r.Observe.observe(Event{Name: ResealPlanned, Count: todo})
	rows := make([]Row, len(plan))
	var group errgroup.Group
	group.SetLimit(max(r.Workers, 1))
	for i, d := range plan {
		if d.Action == Leave {
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
	result := Result{Credential: d.Credential, Outcome: Deferred, Err: errInterrupted}
	if ctx.Err() == nil {
		ctx, cancel := r.graceful(ctx)
		defer cancel()
		result = r.rotator.Reseal(ctx, d.Credential, r.sel.NewestKey)
	}
	j := &job{Decision: &d, result: result}
	r.Observe.observe(Event{Name: TenantDone, Tenant: d.Name, Origin: d.Credential.Origin, Rotation: result.Rotation, Outcome: result.Outcome, Err: result.Err})
	return r.row(j)
}

// errUnsuited ends a reseal of a record that has changed so that nothing needs to be
// done, or nothing may be.
var errUnsuited = errors.New("the record has changed")

// Reseal seals c's current password with the newest key, in one check-and-set write. It
// keeps another writer's edit; a rotation that came first wins: both its prepare and
// its commit prevent the write.
func (r *Rotator) Reseal(ctx context.Context, c Credential, newest crypto.KeyVersion) Result {
	x := &rotation{Rotator: r, cred: c, id: newRotationID()}
	var outcome Outcome
	var reason string
	err := x.update(ctx, change{
		apply: func(c *Credential) (err error) {
			var action Action
			if action, outcome, reason = judgeReseal(r.Clock.Now(), *c, newest); action == Leave {
				return errUnsuited
			}
			err = c.sealAnew(r.Keys)
			x.next = c.current()
			return err
		},
		landed: func(c Credential) bool { return c.current().same(x.next) },
	})
	result := Result{Rotation: x.id, Credential: x.cred, Outcome: outcome, Reason: reason}
	switch {
	case err == nil:
		result.Outcome, result.Reason = Resealed, fmt.Sprintf("sealed with key version %d", x.cred.KeyVersion)
		x.note(PasswordResealed, nil)
	case !errors.Is(err, errUnsuited):
		result.Outcome, result.Err = Failed, fmt.Errorf("reseal: %w", err)
	case outcome.Failure():
		result.Err = errors.New(reason)
	}
	return result
}

// sealAnew opens the current password and seals it for the same record, with the newest
// key.
func (c *Credential) sealAnew(keys Envelope) error {
	password, err := c.current().unseal(keys, c.Tenant)
	if err != nil {
		return err
	}
	defer password.Wipe()
	c.Password, c.KeyVersion, err = keys.Seal(c.binding(), password)
	return err
}
