package rotator

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Rollback restores an earlier password of a tenant, by the same protocol: the one that
// was current in the given KV version, or with version 0 the newest one that opens and
// differs from the current one. It compares passwords, not their envelopes: a reseal
// puts the same one into another envelope. The password keeps its own last_rotated,
// since that is its age: the policy may call it due immediately. A half-finished
// rotation is finished first. insist lifts the limit on take-overs.
//
// An error means that nothing was started, such as for a missing version. The result is
// [Restored], or a failure.
func (r *Rotator) Rollback(ctx context.Context, c Credential, version int, insist bool) (Result, error) {
	x := r.rotation(c, insist)
	defer func() { x.password.Wipe() }()
	restored, outcome, err := x.rollBack(ctx, version)
	if outcome == "" {
		return Result{}, fmt.Errorf("roll back tenant %s: %w", c.Tenant, err)
	}
	result := Result{Rotation: x.id, Credential: x.cred, Outcome: outcome, Err: err}
	if err != nil {
		result.Reason = err.Error()
		return result, nil
	}
	// The next sweep may replace the password again.
	_, policy := x.cred.ByPolicy(r.Clock.Now())
	if warning := expiry(x.cred.Expires); warning != "" {
		policy += "; " + warning
	}
	result.Reason = x.withRemark(fmt.Sprintf("the password of version %d is current again%s; %s", restored.version, restored.left(), policy))
	return result, nil
}

// rollBack returns no outcome if nothing was started.
func (r *rotation) rollBack(ctx context.Context, version int) (restored earlier, o Outcome, err error) {
	if r.cred.Pending != nil {
		if o, err := r.rotate(ctx, Finished); err != nil {
			return earlier{}, failing(o), fmt.Errorf("finish the half-finished rotation first: %w", err)
		}
	}
	if restored, err = r.earlier(ctx, version); err != nil {
		return earlier{}, "", err
	}
	if r.holds(ctx, restored.password) {
		o, err = Restored, r.commit(ctx)
		if err != nil {
			o = r.ended(err)
		}
	} else {
		o, err = r.pushExisting(ctx, restored.password)
	}
	return restored, failing(o), err
}

// holds reports whether Mailu is proven to hold the password already, which then needs
// no push. If Mailu cannot be asked, the push finds out.
func (r *rotation) holds(ctx context.Context, p *Pending) bool {
	match, _, err := r.proves(ctx, p)
	return err == nil && match == Match && r.load(p) == nil
}

// failing: for a rollback it is no success if another process handled the tenant.
func failing(o Outcome) Outcome {
	if o == Fresh {
		return Failed
	}
	return o
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
func (r *rotation) earlier(ctx context.Context, version int) (earlier, error) {
	past := opened{rotation: r}
	defer past.wipe()
	_, _, _ = past.open(r.cred.current())
	if version != 0 {
		return r.chosen(ctx, version, &past)
	}
	var found earlier
	for version, c := range r.versions(ctx, r.cred.Version-1) {
		password, another, err := past.open(c.current())
		if err == nil && another {
			err = sendable(password)
		}
		switch {
		case err != nil:
			found.skipped = append(found.skipped, fmt.Sprintf("version %d: %v", version, r.edit(ctx, c.current(), err)))
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

// edit says which manual edit keeps an earlier password from opening, and which version
// has the original fields, if the history has one.
func (r *rotation) edit(ctx context.Context, p *Pending, err error) error {
	if !errors.Is(err, errUnreadable) {
		return err
	}
	unharmed, version := r.unharmed(ctx, p)
	if unharmed == nil {
		return err
	}
	return fmt.Errorf("%w: %s was changed by hand, and is part of its sealing; version %d has the same password unharmed", errUnreadable, p.edited(unharmed), version)
}

func (r *rotation) chosen(ctx context.Context, version int, past *opened) (earlier, error) {
	c, err := readVersion(ctx, r.Store, r.cred.Tenant, version, r.DefaultPolicy)
	if err != nil {
		return earlier{}, fmt.Errorf("version %d: %w", version, err)
	}
	if c.BeingAdded() {
		return earlier{}, fmt.Errorf("version %d has no password yet: the tenant was being added", version)
	}
	password, another, err := past.open(c.current())
	if err == nil && another {
		err = sendable(password)
	}
	switch {
	case err != nil:
		return earlier{}, fmt.Errorf("version %d: %w", version, r.edit(ctx, c.current(), err))
	case !another && !c.current().same(r.cred.current()):
		return earlier{}, fmt.Errorf("version %d has today's password, sealed in another way: name another one; `vault kv metadata get` lists them", version)
	case !another:
		return earlier{}, fmt.Errorf("version %d has today's password: name another one; `vault kv metadata get` lists them", version)
	}
	return earlier{version: version, password: c.current()}, nil
}
