package rotator

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// resume loads the pending password of a half-finished rotation and asks Mailu about it,
// before it claims: if Mailu holds the password only the commit is missing (held), and
// if Mailu does not answer no KV version is spent on a claim.
func (r *rotation) resume(ctx context.Context) (held bool, err error) {
	if err := r.loadPending(); err != nil {
		return false, err
	}
	r.shared = true
	match, err := r.verify(ctx)
	switch {
	case errors.Is(err, ErrUnknownUser): // there is no user to push to
		return false, r.whileAdded(err)
	case err != nil && !errors.Is(err, ErrUnverifiable): // a hash of another kind is not ours
		return false, err
	}
	return match == Match, nil
}

// loadPending opens the pending password, unless another process has a valid claim.
func (r *rotation) loadPending() error {
	pending := r.cred.Pending
	if pending.Claim.Owner != r.Owner && pending.Claim.Live(r.Clock.Now()) {
		return claimedBy(pending.Claim)
	}
	return r.load(pending)
}

// holdClaim ensures that this process has the claim for long enough to push. It
// rewrites a claim of an earlier attempt, however long that is valid: a lost commit or
// abandonment of that attempt may still be in transit, and would remove the pending
// password from Vault during the push.
func (r *rotation) holdClaim(ctx context.Context) error {
	if r.cred.Pending == nil {
		return errOvertaken
	}
	claim, now := r.cred.Pending.Claim, r.Clock.Now()
	if r.fenced && claim.Owner == r.Owner && claim.Until.Sub(now) > r.ClaimTTL/2 && !r.cred.open() {
		return nil
	}
	return r.takeOver(ctx)
}

// takeOver rewrites only the claim, by check-and-set. For a tenant that is being added
// it also sets Admitted.
func (r *rotation) takeOver(ctx context.Context) (err error) {
	defer r.timed(StepTakeOver)()
	former := r.cred.Pending.Claim
	var claim Claim
	err = r.update(ctx, change{
		apply: func(c *Credential) error {
			switch {
			case !c.holdsPending(r.next):
				return errOvertaken
			case c.Pending.Claim.Owner != r.Owner && c.Pending.Claim.Live(r.Clock.Now()):
				return claimedBy(c.Pending.Claim)
			case c.Pending.Claim.Takeovers >= maxTakeovers && !r.insist:
				return errStuck
			}
			r.shared = r.shared || c.Pending.Claim.Owner != r.Owner
			claim = r.newClaim(c.Pending.Claim.Takeovers + 1)
			mine := *c.Pending
			if c.open() && c.Pending.Claim.Owner == r.Owner {
				claim.Takeovers-- // each addition has this write
			}
			mine.Admitted = c.BeingAdded()
			mine.LastRotated, mine.KeyVersion, mine.Claim = r.next.LastRotated, r.next.KeyVersion, claim
			c.Pending = &mine
			return nil
		},
		landed: func(c Credential) bool {
			return c.holdsPending(r.next) && c.Pending.Claim == claim && !c.open()
		},
	})
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	if former.Owner != r.Owner {
		r.note(RotationTakenOver, nil)
	}
	return nil
}

// newClaim ends at a whole millisecond, as it is stored.
func (r *rotation) newClaim(takeovers int) Claim {
	until := r.Clock.Now().Add(r.ClaimTTL).UTC().Truncate(time.Millisecond)
	return Claim{Owner: r.Owner, Until: until, Takeovers: takeovers}
}

// Retry is [Rotator.Rotate] after an attempt with this outcome: it reads the record
// again and decides again.
func (r *Rotator) Retry(ctx context.Context, c Credential, last Outcome, judge func(Credential) (Action, string), insist bool) Result {
	fresh, err := r.read(ctx, c.Tenant)
	switch {
	case IsWithdrawn(err):
		return Result{Credential: c, Outcome: Ignored, Err: err}
	case err != nil:
		return Result{Credential: c, Outcome: last, Err: err}
	}
	if action, reason := judge(fresh); action == Leave {
		return Result{Credential: fresh, Outcome: Fresh, Err: fmt.Errorf("%w: %s", errOvertaken, reason)}
	}
	if !r.sameUser(fresh, c) { // duplicates of the new user are unknown
		return Result{Credential: fresh, Outcome: last, Err: errRetargeted}
	}
	return r.Rotate(ctx, fresh, judge, insist)
}
