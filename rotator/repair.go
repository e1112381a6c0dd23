package rotator

import (
	"context"
	"errors"
	"fmt"

	"mailu-rotator/crypto"
)

// repair brings Vault and Mailu back together and says in f how that went.
func (r *run) repair(ctx context.Context, c Candidate, f *Finding) {
	ctx, cancel := r.graceful(ctx)
	defer cancel()
	var how string
	var err error
	var deleted *DeletedError
	x := r.rotation(c.Credential)
	defer func() { x.password.Wipe() }()
	switch {
	case errors.As(c.Err, &deleted):
		how, err = "brought back from the history of the record", x.undelete(ctx, deleted.Version)
		f.User, f.Origin = x.cred.Username, x.cred.Origin
	case c.Err != nil:
		return // a record that never was
	case c.Credential.Pending != nil:
		how = "finished the half-finished rotation"
		_, err = x.finish(ctx)
	default:
		how, err = x.reconcile(ctx)
	}
	if err != nil {
		f.Reason = fmt.Sprintf("%s; not repaired: %v", f.Reason, err)
		return
	}
	x.note(TenantRepaired, nil)
	f.State, f.Repaired, f.Reason = StateOK, true, how
}

// reconcile explains the drift by the record's history, else pushes the current
// password.
func (r *rotation) reconcile(ctx context.Context) (how string, err error) {
	switch err := r.remember(ctx, r.cred.Version-1, r.cred.Password); {
	case err == nil:
		return "made the password current again that Mailu holds", r.commit(ctx)
	case !errors.Is(err, errForgotten):
		return "", err
	}
	_, err = r.install(ctx, r.cred.current())
	return "pushed Vault's current password", err
}

// errUndated: a password that was sealed without a last_rotated cannot be
// pending, since that is read with one.
var errUndated = errors.New("the password was sealed without a last_rotated and cannot be pending: rotate the tenant instead")

// install takes a password that exists already through the protocol: prepare,
// push, verify, commit.
func (r *rotation) install(ctx context.Context, p *Pending) (Outcome, error) {
	if p.LastRotated == "" {
		return Failed, errUndated
	}
	password, err := r.unseal(p)
	if err != nil {
		return Failed, err
	}
	p.Claim = r.newClaim(0)
	r.next, r.password = p, password
	if err := r.look(ctx); err != nil {
		return Failed, err
	}
	current := r.cred.Password
	err = r.lay(ctx, func(c Credential) error {
		if c.Pending != nil || c.Password != current {
			return errOvertaken
		}
		return nil
	})
	if err != nil {
		return r.ended(err), fmt.Errorf("prepare: %w", err)
	}
	return r.bring(ctx, Restored)
}

// current is the current password in the shape of one to be brought in; nil
// while the tenant is being added.
func (c Credential) current() *Pending {
	if c.BeingAdded() {
		return nil
	}
	return &Pending{Password: c.Password, LastRotated: c.LastRotated, KeyVersion: c.KeyVersion}
}

// proves asks Mailu about a sealed password.
func (r *rotation) proves(ctx context.Context, p *Pending) (Proof, error) {
	password, err := r.unseal(p)
	if err != nil {
		return Unproven, err
	}
	defer password.Wipe()
	ctx, cancel := context.WithTimeout(ctx, r.ClaimTTL)
	defer cancel()
	return r.prove(ctx, r.cred.Username, password)
}

func (r *rotation) unseal(p *Pending) (crypto.Secret, error) {
	binding := crypto.Binding{TenantID: string(r.cred.Tenant), LastRotated: p.LastRotated}
	password, err := r.Keys.Open(p.KeyVersion, binding, p.Password)
	if err != nil {
		return crypto.Secret{}, fmt.Errorf("%w (key_version %d): %w: restore that key version, or the record from its KV history", errUnreadable, p.KeyVersion, err)
	}
	return password, nil
}
