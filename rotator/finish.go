package rotator

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// finish resumes a half-finished rotation with its pending password: no process makes a
// second one while one is pending. It asks Mailu before it claims: if Mailu already
// holds the password only the commit is missing, and if Mailu does not answer no KV
// version is spent on a claim.
func (r *rotation) finish(ctx context.Context) (Outcome, error) {
	if err := r.adopt(); err != nil {
		return r.ended(err), err
	}
	proof, err := r.verify(ctx)
	switch {
	case errors.Is(err, ErrUnknownUser): // there is no user to push to
		return r.ended(err), r.whileAdded(err)
	case err != nil && !errors.Is(err, ErrUnverifiable): // a hash of another kind is not ours
		return r.ended(err), err
	}
	if proof != Held {
		if err := r.deliver(ctx); errors.Is(err, ErrRefused) && r.cred.BeingAdded() {
			return r.letGo(ctx, err)
		} else if err != nil {
			return r.ended(err), err
		}
	}
	if err := r.commit(ctx); err != nil {
		return r.ended(err), fmt.Errorf("commit: %w", err)
	}
	return Finished, nil
}

// adopt opens the pending password, unless another process has a valid claim.
func (r *rotation) adopt() error {
	pending := r.cred.Pending
	if pending.Claim.Owner != r.Owner && pending.Claim.live(r.Clock.Now()) {
		return claimedBy(pending.Claim)
	}
	return r.take(pending)
}

// claimedBy names the claim's owner, and until when others wait.
func claimedBy(c Claim) error {
	return fmt.Errorf("%w: %s, until %s; nothing to do unless it lasts longer", errClaimed, c.Owner, formatTime(c.Until))
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
	err = r.write(ctx, change{
		apply: func(c *Credential) error {
			switch {
			case !c.holdsPending(r.next):
				return errOvertaken
			case c.Pending.Claim.Owner != r.Owner && c.Pending.Claim.live(r.Clock.Now()):
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

// abandon removes a pending password that Mailu does not have: this process made it,
// each of its pushes was certainly refused, and Mailu has since shown that it holds
// another. No push can take effect after that: the refusal was Mailu's own, otherwise
// it would not be certain, and Mailu has finished with a refused request. No other
// process can have pushed it, since this process always held the claim: it was not
// retaken from another (shared), and the check-and-set on the owner proves that no
// other process has it now.
func (r *rotation) abandon(ctx context.Context, refusal error) (Outcome, error) {
	if r.cred.BeingAdded() {
		return r.letGo(ctx, refusal)
	}
	end := r.timed(StepAbandon)
	err := r.write(ctx, change{
		apply: func(c *Credential) error {
			if !c.holdsPending(r.next) || c.Pending.Claim.Owner != r.Owner {
				return errOvertaken
			}
			c.Pending = nil
			return nil
		},
		landed: func(c Credential) bool { return !c.holdsPending(r.next) },
	})
	end()
	if err != nil {
		return Unfinished, errors.Join(refusal, fmt.Errorf("abandon: %w", err))
	}
	r.note(RotationAbandoned, refusal)
	return Refused, refusal
}
