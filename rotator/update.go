package rotator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mailu-rotator/crypto"
)

const (
	// StoreDeadline bounds one read or write with its retries: long enough for a
	// restart of Vault, short enough to leave the tenant for the next try.
	StoreDeadline = 2 * time.Minute
	// maxRebases bounds how often one change meets another writer's.
	maxRebases = 5
)

// change is one check-and-set step that can be reapplied on top of another writer's edit.
type change struct {
	// apply makes the change on the current record, or returns why it may not be made.
	apply func(*Credential) error
	// landed recognizes the change in a record that was read again.
	landed func(Credential) bool
}

// update stores a change in Vault. A version mismatch and a lost answer look alike, and are
// resolved by reading again: a record without our change gets it applied once more.
func (r *rotation) update(ctx context.Context, step change) error {
	for range maxRebases {
		next := r.cred
		if err := step.apply(&next); err != nil {
			return err
		}
		version, err := r.store(ctx, next)
		if err == nil {
			r.cred, r.uncertain, r.fenced = next.writtenAs(version, r.Clock.Now()), false, true
			return nil
		}
		if isAny(err, ErrForbidden, ErrAbsent, errNothingWritten) {
			return err
		}
		r.uncertain = true
		if err := r.reread(ctx, err); err != nil {
			return err
		}
		switch {
		case step.landed(r.cred):
			r.fenced = true
			return nil
		case !errors.Is(err, ErrConflict): // the store has already retried
			return err
		}
		if r.cred.Version != next.Version {
			r.note(RecordRebased, err)
		}
	}
	return &storeError{fmt.Errorf("%w %d times in a row: find in Vault's audit log what keeps writing it; the next run goes on", ErrConflict, maxRebases)}
}

// store writes a record. It refuses one whose current password would not open with the
// fields beside it: nobody could read it. It does not open the known ones, with exactly
// their fields: the one that the rotation has itself sealed or opened, and the one that
// was current before.
func (r *rotation) store(ctx context.Context, c Credential) (int, error) {
	doc := c.Document()
	written, _ := parseFields(c.Tenant, doc, Policy{}) // as readers parse it; malformed parts stay unchanged
	if current := written.current(); current != nil && !current.same(r.next) && !current.same(r.cred.current()) {
		password, err := current.unseal(r.Keys, c.Tenant)
		if err != nil {
			return 0, fmt.Errorf("%w: not made current: %w", errNothingWritten, err)
		}
		password.Wipe()
	}
	ctx, cancel := context.WithTimeout(ctx, StoreDeadline)
	defer cancel()
	version, err := r.Store.Write(ctx, c.Tenant, doc)
	if err != nil {
		return 0, &storeError{err}
	}
	return version, nil
}

// reread reads the record again after a failed write. It fails if the record now names
// another user or server, because this rotation pushes to the original one.
func (r *rotation) reread(ctx context.Context, failed error) error {
	fresh, err := r.read(ctx, r.cred.Tenant)
	switch {
	case IsWithdrawn(err): // by another process
		return fmt.Errorf("read again: %w", err)
	case err != nil:
		return fmt.Errorf("%w; read again: %w", failed, err)
	}
	moved := !r.sameUser(fresh, r.cred)
	r.cred, r.uncertain = fresh, false
	if moved {
		return fmt.Errorf("%w; %w", failed, errRetargeted)
	}
	return nil
}

// sameUser reports whether two states of a record push to one user.
func (r *Rotator) sameUser(a, b Credential) bool {
	return a.Address() == b.Address() && r.Mailu.API(a.Origin) == r.Mailu.API(b.Origin)
}

func (r *Rotator) read(ctx context.Context, tenant TenantID) (Credential, error) {
	ctx, cancel := context.WithTimeout(ctx, StoreDeadline)
	defer cancel()
	doc, err := r.Store.Read(ctx, tenant)
	if err != nil {
		return Credential{}, &storeError{err}
	}
	return ParseCredential(tenant, doc, r.DefaultPolicy)
}

// Retry reads the record again after an attempt with this outcome, and decides again.
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

// resolveConflict decides when another writer replaced the pending password while Mailu
// may have ours. The one that Mailu holds wins; if Mailu cannot be asked, ours is restored
// beside theirs, so that Vault has both. ending is how the rotation ends once the record is
// written; nil is success.
func (r *rotation) resolveConflict(ctx context.Context, c *Credential) (ending, err error) {
	match, err := r.verify(ctx)
	switch {
	case err == nil && match == Match:
		r.promote(c)
		return nil, nil
	case err == nil && match == Mismatch:
		return r.yield(ctx, c)
	case err != nil && r.next.Claim.Owner == "": // found in the history: it never was pending, so there is nothing to restore
		return nil, err
	case c.Pending != nil:
		return nil, fmt.Errorf("%w; %w", r.torn("another writer has replaced the password, and Mailu cannot be asked which one it holds"), err)
	}
	c.Pending = r.lapsed(r.next)
	r.note(PendingRestored, err)
	return errRestored, nil
}

// lapsed returns p with an expired claim.
func (r *rotation) lapsed(p *Pending) *Pending {
	over := *p
	over.Claim.Until = r.Clock.Now().UTC().Truncate(time.Millisecond)
	return &over
}

// yield ends a rotation in favour of another writer's password, if Mailu holds that one.
func (r *rotation) yield(ctx context.Context, c *Credential) (ending, err error) {
	if c.Pending != nil && !c.holdsPending(r.next) {
		return nil, claimedBy(c.Pending.Claim)
	}
	password, err := r.Keys.Open(c.KeyVersion, c.binding(), c.Password)
	if err != nil {
		return nil, fmt.Errorf("open the password that another writer has stored: %w", err)
	}
	defer password.Wipe()
	match, _, err := r.ask(ctx, password)
	switch {
	case err != nil:
		return nil, fmt.Errorf("verify the password that another writer has stored: %w", err)
	case match != Match:
		return nil, r.torn("another writer has replaced the password, and Mailu holds neither that one nor the new one")
	case c.Pending == nil:
		return nil, errOvertaken
	}
	c.Pending = nil
	return errOvertaken, nil
}

// torn returns the error for a record that only its history can explain.
func (r *rotation) torn(what string) error {
	return fmt.Errorf("%s: mailu-rotator verify --repair --tenant %s finds it in the history of the record", what, r.cred.Tenant)
}

// holdsPending reports whether p is the record's pending password. Sealed strings can
// be compared exactly: each has a random IV.
func (c Credential) holdsPending(p *Pending) bool {
	return c.Pending != nil && c.Pending.Password == p.Password
}

// promote makes p the current password, of which nothing is proven. It keeps another
// rotation's pending one.
func (c *Credential) promote(p *Pending) {
	c.Password, c.LastRotated, c.KeyVersion, c.Proof = p.Password, p.LastRotated, p.KeyVersion, ""
	if c.holdsPending(p) {
		c.Pending = nil
	}
}

// promote makes r.next the current password of c, with its proof if Mailu has shown one. A
// password that is not one of ours gets none: each verification is to say so.
func (r *rotation) promote(c *Credential) {
	c.promote(r.next)
	if r.hash != "" && crypto.CheckPassword(r.password) == nil {
		c.Proof = c.proof(r.hash)
	}
}

// IsStoreError reports whether an error is one of the store, and not of a Mailu server.
func IsStoreError(err error) bool {
	_, is := errors.AsType[*storeError](err)
	return is
}

// StoreError is an error of the store; see [IsStoreError].
func StoreError(err error) error { return &storeError{err} }

// storeError is an error of the store.
type storeError struct{ error }

func (e *storeError) Unwrap() error { return e.error }
