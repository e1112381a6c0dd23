package rotator

import (
	"context"
	"errors"
	"fmt"

	"mailu-rotator/crypto"
)

// ErrNothingPending: the record has no pending password to reveal.
var ErrNothingPending = errors.New("nothing is pending")

// errNoCurrent: the record has a pending password and no other.
var errNoCurrent = errors.New("it is still being added and has no current password: ask for the pending one")

// Reveal opens the current password of a record, or its pending one. The caller must
// record that, and wipe the secret.
func Reveal(keys Envelope, c Credential, pending bool) (crypto.Secret, error) {
	p := c.current()
	if pending {
		p = c.Pending
	}
	switch {
	case p == nil && pending:
		return crypto.Secret{}, fmt.Errorf("tenant %s: %w", c.Tenant, ErrNothingPending)
	case p == nil:
		return crypto.Secret{}, fmt.Errorf("tenant %s: %w", c.Tenant, errNoCurrent)
	}
	password, err := p.unseal(keys, c.Tenant)
	if err != nil {
		return crypto.Secret{}, fmt.Errorf("tenant %s: %w", c.Tenant, err)
	}
	return password, nil
}

// Accepted asks Mailu which of the passwords of a half-finished rotation it holds: the
// pending one, or else the current one. remark describes restrictions of the account
// that the answer showed, or is empty.
func (r *Rotator) Accepted(ctx context.Context, c Credential) (pending bool, remark string, err error) {
	if _, err := r.Mailu.Server(c.Origin); err != nil {
		return false, "", err
	}
	x := r.rotation(c, false)
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
