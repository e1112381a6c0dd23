package rotator

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// storeDeadline bounds one read or write with its retries: long enough for a
	// Vault that restarts, short enough to leave the tenant for the next try.
	storeDeadline = 2 * time.Minute
	// maxRebases bounds how often one change meets somebody else's.
	maxRebases = 5
)

// change is one check-and-set step, so stated that it can be applied again on
// top of somebody else's edit.
type change struct {
	// apply makes the change on the record as it is now, or says why it must not
	// be made any more.
	apply func(*Credential) error
	// landed recognises the change in a record that was read again.
	landed func(Credential) bool
}

// write brings a change into Vault. A mismatch and a lost answer look alike
// from here, and both are settled by reading again: our own write found there
// is success; otherwise the change is applied on top of what is there.
func (r *rotation) write(ctx context.Context, step change) error {
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
		if errors.Is(err, ErrForbidden) || errors.Is(err, ErrAbsent) || errors.Is(err, errNothingWritten) {
			return err
		}
		r.uncertain = true
		if readErr := r.reread(ctx); isWithdrawn(readErr) {
			return readErr // by whoever has the user
		} else if readErr != nil {
			return errors.Join(err, readErr)
		}
		switch {
		case step.landed(r.cred):
			r.fenced = true
			return nil
		case !errors.Is(err, ErrConflict): // the store has tried long enough
			return err
		}
		if r.cred.Version != next.Version {
			r.note(RecordRebased, err)
		}
	}
	return &storeError{fmt.Errorf("%w %d times in a row: find in Vault's audit log what keeps writing it; the next run goes on", ErrConflict, maxRebases)}
}

// store is the only place where a rotation writes a record.
func (r *rotation) store(ctx context.Context, c Credential) (int, error) {
	if err := r.mustOpen(c); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	version, err := r.Store.Write(ctx, c.Tenant, c.Document())
	if err != nil {
		return 0, &storeError{err}
	}
	return version, nil
}

// mustOpen refuses a record that would name a current password which does not
// open with the fields beside it: nobody could read it. What this rotation has
// sealed or opened itself, with these very fields, is not opened once more.
func (r *rotation) mustOpen(c Credential) error {
	written, _ := parseFields(c.Tenant, c.Document(), r.DefaultPolicy) // as readers find it; how it was malformed it stays
	current := written.current()
	if current == nil || current.same(r.next) || current.same(r.cred.current()) {
		return nil
	}
	password, err := r.unseal(current)
	if err != nil {
		return fmt.Errorf("%w: not made current: %w", errNothingWritten, err)
	}
	password.Wipe()
	return nil
}

// reread replaces what we know of the record. A record that names another user
// or server by now is not the one that this rotation pushes to.
func (r *rotation) reread(ctx context.Context) error {
	fresh, err := r.read(ctx, r.cred.Tenant)
	if err != nil {
		return fmt.Errorf("read again: %w", err)
	}
	moved := !r.sameUser(fresh, r.cred)
	r.cred, r.uncertain = fresh, false
	if moved {
		return errRetargeted
	}
	return nil
}

// sameUser reports whether two states of a record push to one user.
func (r *Rotator) sameUser(a, b Credential) bool {
	return a.Address() == b.Address() && r.Mailu.API(a.Origin) == r.Mailu.API(b.Origin)
}

func (r *Rotator) read(ctx context.Context, tenant TenantID) (Credential, error) {
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	doc, err := r.Store.Read(ctx, tenant)
	if err != nil {
		return Credential{}, &storeError{err}
	}
	return ParseCredential(tenant, doc, r.DefaultPolicy)
}

// settle decides what a record means into which somebody wrote another password
// while Mailu may have ours. Which of the two Mailu holds decides; where it
// cannot be asked ours is put back beside theirs, so that Vault has both.
// ending says how the rotation ends once the record is written; nil is success.
func (r *rotation) settle(ctx context.Context, c *Credential) (ending, err error) {
	proof, err := r.verify(ctx)
	switch {
	case err == nil && proof == Held:
		c.promote(r.next)
		return nil, nil
	case err == nil && proof == NotHeld:
		return r.giveWay(ctx, c)
	case err != nil && r.next.Claim.Owner == "": // found in the history: nobody has laid it here, so there is nothing to put back
		return nil, err
	case c.Pending != nil:
		return nil, errors.Join(r.torn("another password was written meanwhile, and Mailu cannot be asked which one it holds"), err)
	}
	c.Pending = r.lapsed(r.next)
	r.note(PendingRestored, err)
	return errRestored, nil
}

// lapsed is p with its claim over.
func (r *rotation) lapsed(p *Pending) *Pending {
	over := *p
	over.Claim.Until = r.Clock.Now().UTC().Truncate(time.Millisecond)
	return &over
}

// giveWay ends a rotation in favour of somebody else's password, once that one
// is proven to be what Mailu holds.
func (r *rotation) giveWay(ctx context.Context, c *Credential) (ending, err error) {
	if c.Pending != nil && !c.holdsPending(r.next) {
		return nil, claimedBy(c.Pending.Claim)
	}
	password, err := r.Keys.Open(c.KeyVersion, c.binding(), c.Password)
	if err != nil {
		return nil, fmt.Errorf("open the password that somebody wrote meanwhile: %w", err)
	}
	defer password.Wipe()
	proof, err := r.prove(ctx, c.Username, password)
	switch {
	case err != nil:
		return nil, fmt.Errorf("verify the password that somebody wrote meanwhile: %w", err)
	case proof != Held:
		return nil, r.torn("somebody wrote another password meanwhile, and Mailu holds neither that one nor the new one")
	case c.Pending == nil:
		return nil, errOvertaken
	}
	c.Pending = nil
	return errOvertaken, nil
}

// torn is the error of a record that only its history can explain.
func (r *rotation) torn(what string) error {
	return fmt.Errorf("%s: mailu-rotator verify --repair --tenant %s finds it in the history of the record", what, r.cred.Tenant)
}

// holdsPending reports whether p is the record's pending password. Sealed
// strings compare exactly: each has a random IV.
func (c Credential) holdsPending(p *Pending) bool {
	return c.Pending != nil && c.Pending.Password == p.Password
}

// same reports whether p and q are one sealed string with the same fields beside
// it. With another last_rotated or key_version the same string opens to nothing.
func (p *Pending) same(q *Pending) bool {
	return p != nil && q != nil && p.Password == q.Password && p.LastRotated == q.LastRotated && p.KeyVersion == q.KeyVersion
}

// promote makes p the current password. A pending password of another rotation
// stays.
func (c *Credential) promote(p *Pending) {
	c.Password, c.LastRotated, c.KeyVersion = p.Password, p.LastRotated, p.KeyVersion
	if c.holdsPending(p) {
		c.Pending = nil
	}
}
