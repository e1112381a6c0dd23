package rotator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mailu-rotator/crypto"
)

// current is the current password as a Pending; nil while the tenant is being added.
func (c Credential) current() *Pending {
	if c.BeingAdded() {
		return nil
	}
	return &Pending{Password: c.Password, LastRotated: c.LastRotated, KeyVersion: c.KeyVersion}
}

// same reports whether p and q are the same sealed string with the same fields. With
// another last_rotated or key_version the same string does not open.
func (p *Pending) same(q *Pending) bool {
	return p != nil && q != nil && p.Password == q.Password && p.LastRotated == q.LastRotated && p.KeyVersion == q.KeyVersion
}

// seal seals the password to make current with the newest key.
func (r *rotation) seal(lastRotated string) (err error) {
	sealed := Pending{LastRotated: lastRotated}
	binding := crypto.Binding{TenantID: string(r.cred.Tenant), LastRotated: lastRotated}
	sealed.Password, sealed.KeyVersion, err = r.Keys.Seal(binding, r.password)
	r.next, r.hash = &sealed, ""
	return err
}

func (r *rotation) unseal(p *Pending) (crypto.Secret, error) { return p.unseal(r.Keys, r.cred.Tenant) }

// unseal opens a password of the tenant. Its error says what to do.
func (p *Pending) unseal(keys Envelope, tenant TenantID) (crypto.Secret, error) {
	binding := crypto.Binding{TenantID: string(tenant), LastRotated: p.LastRotated}
	password, err := keys.Open(p.KeyVersion, binding, p.Password)
	if err == nil {
		return password, nil
	}
	form := p.Password.CheckForm()
	switch {
	case form != nil:
		err = fmt.Errorf("%w: %w: no key opens that: mailu-rotator doctor says how to correct the record", errUnreadable, form)
	case p.KeyVersion == 0:
		err = fmt.Errorf("%w (no key_version is recorded, and all were tried): %w: restore the record from its KV history", errUnreadable, err)
	default:
		err = fmt.Errorf("%w (key_version %d): %w: restore that key version, or the record from its KV history", errUnreadable, p.KeyVersion, err)
	}
	return crypto.Secret{}, err
}

// ErrNothingPending: the record has no pending password to reveal.
var ErrNothingPending = errors.New("nothing is pending")

// Reveal opens the current password of a record, or its pending one. The caller must
// record that, and wipe the secret.
func Reveal(keys Envelope, c Credential, pending bool) (crypto.Secret, error) {
	p, missing := c.current(), errors.New("it is still being added and has no current password: ask for the pending one")
	if pending {
		p, missing = c.Pending, ErrNothingPending
	}
	if p == nil {
		return crypto.Secret{}, fmt.Errorf("tenant %s: %w", c.Tenant, missing)
	}
	password, err := p.unseal(keys, c.Tenant)
	if err != nil {
		return crypto.Secret{}, fmt.Errorf("tenant %s: %w", c.Tenant, err)
	}
	return password, nil
}

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
			c.Proof = ""
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
