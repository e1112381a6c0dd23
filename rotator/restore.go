package rotator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mailu-rotator/crypto"
)

// Repair makes Vault and Mailu agree about a tenant whose finding is repairable, and
// returns the new finding. unshared refuses a deleted record whose user another tenant
// has by now. insist lifts the limit on take-overs.
func (r *Rotator) Repair(ctx context.Context, c Candidate, f Finding, unshared func(Credential) error, insist bool) Finding {
	var how string
	var err error
	deleted, isDeleted := errors.AsType[*DeletedError](c.Err)
	x, _ := r.begin(c.Credential, insist) // only tenants of listed servers are repaired, and deleted records
	defer func() { x.password.Wipe() }()
	switch {
	case isDeleted:
		how, err = "brought back from the history of the record", x.undelete(ctx, deleted.Version, unshared)
		f.User, f.Origin = x.cred.Username, x.cred.Origin
	case c.Err != nil:
		return f // a malformed record, or one that never existed
	case c.Credential.Pending != nil:
		how = "finished the half-finished rotation"
		if healed := x.healed(ctx, c.Credential.Pending); healed != nil {
			x.cred.Pending = healed // the next take-over or the commit writes it
		}
		_, err = x.rotate(ctx, Finished)
	default:
		how, err = x.reconcile(ctx)
	}
	if err == nil {
		err = x.confirm(ctx)
	}
	if withdrawn, is := errors.AsType[*withdrawnError](err); is {
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

// healed returns p, or if that does not open, p with the fields of an earlier version
// with which it does; nil without such a version.
func (r *rotation) healed(ctx context.Context, p *Pending) *Pending {
	password, err := r.unseal(p)
	password.Wipe()
	if err != nil {
		p, _ = r.unharmed(ctx, p)
	}
	return p
}

// confirm reads the record once more: its readers must get the password brought in.
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

// reconcile explains the drift by the record's history, or pushes the current password.
func (r *rotation) reconcile(ctx context.Context) (how string, err error) {
	switch err := r.findInHistory(ctx, r.cred.Version-1, r.cred.current()); {
	case err == nil:
		return "made the password current again that Mailu holds", r.commit(ctx)
	case !errors.Is(err, errForgotten):
		return "", err
	}
	current := r.healed(ctx, r.cred.current())
	if current == nil {
		return "", fmt.Errorf("%w: --run-now --tenant makes a new one", errForgotten)
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
	if r.next.LastRotated == "" {
		// A pending password must have one. created_at is what its age counts from anyway;
		// with the oldest date the password is as due as with an unknown age.
		born, known := Credential{CreatedAt: r.cred.CreatedAt}.Born(r.Clock.Now())
		if !known {
			born = time.Unix(0, 0)
		}
		if err := r.seal(FormatTime(born)); err != nil {
			return Failed, err
		}
	}
	r.replacing = r.cred.current()
	return r.rotate(ctx, Restored)
}

// proves asks Mailu about a sealed password. improper says why that cannot be one of
// ours, whatever Mailu holds.
func (r *rotation) proves(ctx context.Context, p *Pending) (match Verification, improper, err error) {
	password, err := r.unseal(p)
	if err != nil {
		return Unproven, nil, err
	}
	defer password.Wipe()
	match, _, err = r.ask(ctx, password)
	return match, crypto.CheckPassword(password), err
}

// ask asks Mailu whether it holds a password, and returns the hash that proves it.
func (r *rotation) ask(ctx context.Context, password crypto.Secret) (match Verification, hash string, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.ClaimTTL)
	defer cancel()
	check, err := r.server.Verify(ctx, r.cred.Username, password)
	r.leaveSlot() // the rest is this host's work
	if err != nil {
		return Unproven, "", err
	}
	if match, err = check.result(); match == Match {
		hash = check.Hash
	}
	return match, hash, err
}

// Rollback restores an earlier password of a tenant, by the same protocol: the one that
// was current in the given KV version, or with version 0 the newest one that opens and
// differs from the current one, whatever their envelopes. It keeps its own last_rotated,
// since that is its age: the policy may call it due immediately. A half-finished rotation
// is finished first. insist lifts the limit on take-overs. An error means that nothing was
// started, such as for a missing version. The result is [Restored], or a failure.
func (r *Rotator) Rollback(ctx context.Context, c Credential, version int, insist bool) (Result, error) {
	x, _ := r.begin(c, insist) // the caller has checked that its server is listed
	defer func() { x.password.Wipe() }()
	restored, outcome, err := x.rollBack(ctx, version)
	switch outcome {
	case "":
		return Result{}, fmt.Errorf("roll back tenant %s: %w", c.Tenant, err)
	case Fresh: // another process handled the tenant
		outcome = Failed
	}
	result := Result{Rotation: x.id, Credential: x.cred, Outcome: outcome, Err: err}
	if err != nil {
		result.Reason = err.Error()
		return result, nil
	}
	// The next sweep may replace the password again.
	_, policy := x.cred.ByPolicy(r.Clock.Now())
	again := fmt.Sprintf("the password of version %d is current again%s", restored.version, restored.left())
	result.Reason = x.withRemark(joined(again, policy, expiry(x.cred.Expires)))
	return result, nil
}

// rollBack returns no outcome if nothing was started.
func (r *rotation) rollBack(ctx context.Context, version int) (restored earlier, o Outcome, err error) {
	if r.cred.Pending != nil {
		if o, err := r.rotate(ctx, Finished); err != nil {
			return earlier{}, o, fmt.Errorf("finish the half-finished rotation first: %w", err)
		}
	}
	if restored, err = r.earlier(ctx, version); err != nil {
		return earlier{}, "", err
	}
	// If Mailu is proven to hold it already, no push is needed; if Mailu cannot be asked,
	// the push finds out.
	match, _, err := r.proves(ctx, restored.password)
	if err != nil || match != Match || r.load(restored.password) != nil {
		o, err = r.pushExisting(ctx, restored.password)
		return restored, o, err
	}
	if err := r.commit(ctx); err != nil {
		return restored, r.ended(err), err
	}
	return restored, Restored, nil
}

// earlier is a password to restore.
type earlier struct {
	version  int
	password *Pending
	skipped  []string // newer versions that cannot be restored, and why
}

// left names the versions that were skipped.
func (e earlier) left() string {
	if len(e.skipped) == 0 {
		return ""
	}
	return " (not that of " + strings.Join(e.skipped, "; of ") + ")"
}

// earlier finds the password to restore: that of the version, or with 0 the newest that
// can be restored and differs from the current one. If the current one does not open,
// any other one counts as different.
func (r *rotation) earlier(ctx context.Context, version int) (found earlier, err error) {
	past := opened{rotation: r}
	defer past.wipe()
	_, _, _ = past.open(r.cred.current())
	if version != 0 {
		return r.chosen(ctx, version, &past)
	}
	for version, c := range r.versions(ctx, r.cred.Version-1) {
		another, err := r.restorable(ctx, c.current(), &past)
		switch {
		case err != nil:
			found.skipped = append(found.skipped, fmt.Sprintf("version %d: %v", version, err))
		case another:
			found.version, found.password = version, c.current()
			return found, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return found, err
	}
	return found, fmt.Errorf("the history of the record has no other password%s: nothing can be brought back; --run-now --tenant makes a new one", found.left())
}

func (r *rotation) chosen(ctx context.Context, version int, past *opened) (earlier, error) {
	c, err := ReadVersion(ctx, r.Store, r.cred.Tenant, version, r.DefaultPolicy)
	if err != nil {
		return earlier{}, fmt.Errorf("version %d: %w", version, err)
	}
	if c.BeingAdded() {
		return earlier{}, fmt.Errorf("version %d has no password yet: the tenant was being added", version)
	}
	another, err := r.restorable(ctx, c.current(), past)
	switch {
	case err != nil:
		return earlier{}, fmt.Errorf("version %d: %w", version, err)
	case another:
		return earlier{version: version, password: c.current()}, nil
	}
	sealing := ""
	if !c.current().same(r.cred.current()) {
		sealing = ", sealed in another way"
	}
	return earlier{}, fmt.Errorf("version %d has today's password%s: name another one; `vault kv metadata get` lists them", version, sealing)
}

// restorable opens an earlier password. another: it is not in past. The error is why it
// cannot be restored: if by a manual edit, which one, and which version is without it.
func (r *rotation) restorable(ctx context.Context, p *Pending, past *opened) (another bool, err error) {
	password, another, err := past.open(p)
	if err == nil && another {
		err = sendable(password)
	}
	if !errors.Is(err, errUnreadable) {
		return another, err
	}
	unharmed, version := r.unharmed(ctx, p)
	if unharmed == nil {
		return false, err
	}
	return false, fmt.Errorf("%w: %s was changed by hand, and is part of its sealing; version %d has the same password unharmed", errUnreadable, p.edited(unharmed), version)
}

// Accepted asks Mailu which of the passwords of a half-finished rotation it holds: the
// pending one, or else the current one. remark describes restrictions of the account
// that the answer showed, or is empty.
func (r *Rotator) Accepted(ctx context.Context, c Credential) (pending bool, remark string, err error) {
	x, err := r.begin(c, false)
	if err != nil {
		return false, "", err
	}
	for _, p := range []*Pending{c.Pending, c.current()} {
		if p == nil {
			continue // it is still being added
		}
		match, _, err := x.proves(ctx, p)
		switch {
		case err != nil:
			return false, "", fmt.Errorf("ask Mailu which password it accepts: %w", err)
		case match == Unproven:
			return false, "", fmt.Errorf("which password Mailu accepts cannot be asked: verify is none for %s", c.Origin)
		case match == Match:
			return p == c.Pending, x.withRemark(""), nil
		}
	}
	return false, "", fmt.Errorf("tenant %s: Mailu accepts neither the current nor the pending password: mailu-rotator verify --repair --tenant %s", c.Tenant, c.Tenant)
}
