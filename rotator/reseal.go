package rotator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mailu-rotator/crypto"
)

// JudgeReseal decides whether a record is to be sealed anew, and why, or with which
// outcome it is left. It is called again if the record has changed since the plan.
func JudgeReseal(now time.Time, c Credential, newest crypto.KeyVersion) (Action, Outcome, string) {
	switch {
	case c.Pending != nil && c.Pending.Claim.Live(now):
		return Leave, Claimed, rotationUnderWay(c.Pending.Claim) + ": run this again after it"
	case c.Pending != nil:
		return Leave, Unfinished, c.HalfFinished() + ": finish it first (--run-now --due-only), then run this again"
	case c.KeyVersion == newest:
		return Leave, Fresh, fmt.Sprintf("sealed with key version %d", c.KeyVersion)
	case c.KeyVersion == 0:
		return Reseal, "", fmt.Sprintf("to be sealed with key version %d; the one it has is not recorded", newest)
	}
	return Reseal, "", fmt.Sprintf("to be sealed with key version %d instead of %d", newest, c.KeyVersion)
}

// errUnsuited ends a reseal of a record that has changed so that nothing needs to be
// done, or nothing may be.
var errUnsuited = errors.New("the record has changed")

// Reseal seals c's current password with the newest key, in one check-and-set write. It
// keeps another writer's edit; a rotation that came first wins: both its prepare and
// its commit prevent the write.
func (r *Rotator) Reseal(ctx context.Context, c Credential, newest crypto.KeyVersion) Result {
	x, _ := r.begin(c, false) // without its server
	var outcome Outcome
	var reason string
	err := x.update(ctx, change{
		apply: func(c *Credential) error {
			var action Action
			if action, outcome, reason = JudgeReseal(r.Clock.Now(), *c, newest); action == Leave {
				return errUnsuited
			}
			password, err := c.current().unseal(r.Keys, c.Tenant)
			if err != nil {
				return err
			}
			defer password.Wipe()
			c.Password, c.KeyVersion, err = r.Keys.Seal(c.binding(), password)
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
