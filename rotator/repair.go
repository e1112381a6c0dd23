package rotator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mailu-rotator/crypto"
)

// Repair makes Vault and Mailu agree about a tenant whose finding is repairable, and
// returns the new finding. unshared refuses a deleted record whose user another tenant
// has by now. insist lifts the limit on take-overs.
func (r *Rotator) Repair(ctx context.Context, c Candidate, f Finding, unshared func(Credential) error, insist bool) Finding {
	var how string
	var err error
	var deleted *DeletedError
	x := r.rotation(c.Credential, insist)
	defer func() { x.password.Wipe() }()
	switch {
	case errors.As(c.Err, &deleted):
		how, err = "brought back from the history of the record", x.undelete(ctx, deleted.Version, unshared)
		f.User, f.Origin = x.cred.Username, x.cred.Origin
	case c.Err != nil:
		return f // a record that never existed
	case c.Credential.Pending != nil:
		how = "finished the half-finished rotation"
		x.healPending(ctx)
		_, err = x.rotate(ctx, Finished)
	default:
		how, err = x.reconcile(ctx)
	}
	if err == nil {
		err = x.confirm(ctx)
	}
	if withdrawn := withdrawnBy(err); withdrawn != nil {
		f.State, f.Reason = StateIgnored, withdrawn.Error()
		return f
	}
	if err != nil {
		f.Reason = fmt.Sprintf("%s; not repaired: %v", f.Reason, err)
		return f
	}
	x.note(TenantRepaired, nil)
	f.State, f.Unprovable, f.Repaired, f.Reason = StateOK, false, true, x.withRemark(how)
	f.expires(x.cred, r.Clock.Now())
	return f
}

// rotation returns a rotation of c that makes no new password.
func (r *Rotator) rotation(c Credential, insist bool) *rotation {
	server, _ := r.Mailu.Server(c.Origin) // callers have checked that it is listed
	return &rotation{Rotator: r, server: server, cred: c, id: newRotationID(), insist: insist}
}

// healPending restores the fields of a pending password that does not open, if the
// history has them. The next take-over or the commit writes them.
func (r *rotation) healPending(ctx context.Context) {
	password, err := r.unseal(r.cred.Pending)
	password.Wipe()
	if err == nil {
		return
	}
	if unharmed, _ := r.unharmed(ctx, r.cred.Pending); unharmed != nil {
		r.cred.Pending = unharmed
	}
}

// confirm reads the record once more, and opens it: it is repaired only if its readers
// get the password that was brought in.
func (r *rotation) confirm(ctx context.Context) error {
	now, err := r.read(ctx, r.cred.Tenant)
	if err != nil {
		return fmt.Errorf("read the record again: %w", err)
	}
	if now.BeingAdded() {
		return errors.New("the record has no current password now: verify again")
	}
	password, err := r.unseal(now.current())
	if err != nil {
		return fmt.Errorf("read the record again: %w", err)
	}
	defer password.Wipe()
	if !password.Equal(r.password) {
		return errors.New("another writer has replaced the password in the record: verify again")
	}
	return nil
}

// reconcile explains the drift by the record's history, or else pushes the current
// password.
func (r *rotation) reconcile(ctx context.Context) (how string, err error) {
	switch err := r.findInHistory(ctx, r.cred.Version-1, r.cred.current()); {
	case err == nil:
		return "made the password current again that Mailu holds", r.commit(ctx)
	case !errors.Is(err, errForgotten):
		return "", err
	}
	current := r.cred.current()
	if unreadable := r.load(current); unreadable != nil {
		unharmed, _ := r.unharmed(ctx, current)
		if unharmed == nil {
			return "", fmt.Errorf("%w: --run-now --tenant makes a new one", errForgotten)
		}
		current = unharmed
	}
	_, err = r.pushExisting(ctx, current)
	return "pushed Vault's current password", err
}

// pushExisting takes an existing password through the protocol, in place of a new one.
func (r *rotation) pushExisting(ctx context.Context, p *Pending) (Outcome, error) {
	if err := r.load(p); err != nil {
		return Failed, err
	}
	if err := sendable(r.password); err != nil {
		return Failed, err
	}
	if err := r.date(); err != nil {
		return Failed, err
	}
	r.replacing = r.cred.current()
	return r.rotate(ctx, Restored)
}

// date reseals a password that was sealed without last_rotated, because a pending
// password must have one. It uses created_at, which its age counts from anyway. For an
// unknown age it uses the oldest date, with which the password is as due as without
// any.
func (r *rotation) date() error {
	if r.next.LastRotated != "" {
		return nil
	}
	born, known := Credential{CreatedAt: r.cred.CreatedAt}.Born(r.Clock.Now())
	if !known {
		born = time.Unix(0, 0)
	}
	dated := &Pending{LastRotated: formatTime(born)}
	binding := crypto.Binding{TenantID: string(r.cred.Tenant), LastRotated: dated.LastRotated}
	var err error
	dated.Password, dated.KeyVersion, err = r.Keys.Seal(binding, r.password)
	r.next = dated
	return err
}

// current returns the current password in the form of a pending one; nil while the
// tenant is being added.
func (c Credential) current() *Pending {
	if c.BeingAdded() {
		return nil
	}
	return &Pending{Password: c.Password, LastRotated: c.LastRotated, KeyVersion: c.KeyVersion}
}

// proves asks Mailu about a sealed password. improper says why that cannot be one of
// ours, whatever Mailu holds.
func (r *rotation) proves(ctx context.Context, p *Pending) (match Verification, improper, err error) {
	password, err := r.unseal(p)
	if err != nil {
		return Unproven, nil, err
	}
	defer password.Wipe()
	match, err = r.ask(ctx, password)
	return match, crypto.CheckPassword(password), err
}

func (r *rotation) unseal(p *Pending) (crypto.Secret, error) { return p.unseal(r.Keys, r.cred.Tenant) }

// unseal opens a password of the tenant.
func (p *Pending) unseal(keys Envelope, tenant TenantID) (crypto.Secret, error) {
	binding := crypto.Binding{TenantID: string(tenant), LastRotated: p.LastRotated}
	password, err := keys.Open(p.KeyVersion, binding, p.Password)
	if err != nil {
		return crypto.Secret{}, p.unreadable(err)
	}
	return password, nil
}

// unreadable says why a password does not open, and what to do.
func (p *Pending) unreadable(err error) error {
	if form := p.Password.CheckForm(); form != nil {
		return fmt.Errorf("%w: %w: no key opens that: mailu-rotator doctor says how to correct the record", errUnreadable, form)
	}
	if p.KeyVersion == 0 {
		return fmt.Errorf("%w (no key_version is recorded, and all were tried): %w: restore the record from its KV history", errUnreadable, err)
	}
	return fmt.Errorf("%w (key_version %d): %w: restore that key version, or the record from its KV history", errUnreadable, p.KeyVersion, err)
}
