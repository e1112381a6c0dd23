package rotator

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"mailu-rotator/crypto"
)

// maxRemembered bounds how many earlier versions are read. KV v2 keeps 10 by default.
const maxRemembered = 50

// errForgotten: no earlier version has the password.
var errForgotten = errors.New("no earlier version of the record holds it")

// findInHistory searches the versions up to from for the password that Mailu holds, and
// loads it. It skips known, in any envelope. If Mailu's hash cannot prove any password it
// finds none.
func (r *rotation) findInHistory(ctx context.Context, from int, known *Pending) error {
	past := opened{rotation: r}
	defer past.wipe()
	_, _, _ = past.open(known)
	for version, c := range r.versions(ctx, from) {
		for _, p := range []*Pending{c.Pending, c.current()} {
			password, another, err := past.open(p)
			if err != nil || !another {
				continue
			}
			match, hash, err := r.ask(ctx, password)
			switch {
			case provesNothing(err):
				return fmt.Errorf("%w as far as can be told: %w", errForgotten, err)
			case err != nil:
				return fmt.Errorf("ask about version %d: %w", version, err)
			case match == Match:
				err := r.load(p)
				r.hash = hash
				return err
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return errForgotten
}

// provesNothing reports whether no password can be checked against Mailu's hash.
func provesNothing(err error) bool {
	return errors.Is(err, ErrUnverifiable) && !errors.Is(err, ErrUnknownUser)
}

// opened are passwords of a record that were opened, each once. They are compared as
// passwords, not as envelopes: a reseal puts the same one into another envelope, and an
// edited last_rotated keeps the same envelope from opening.
type opened struct {
	*rotation
	envelopes []*Pending
	passwords []crypto.Secret
}

// open opens p, to be wiped with the others. another: the same was not opened before.
func (o *opened) open(p *Pending) (password crypto.Secret, another bool, err error) {
	if p == nil || slices.ContainsFunc(o.envelopes, p.same) {
		return crypto.Secret{}, false, nil
	}
	o.envelopes = append(o.envelopes, p)
	if password, err = o.unseal(p); err != nil {
		return crypto.Secret{}, false, err
	}
	another = !slices.ContainsFunc(o.passwords, password.Equal)
	o.passwords = append(o.passwords, password)
	return password, another, nil
}

func (o *opened) wipe() {
	for _, password := range o.passwords {
		password.Wipe()
	}
}

// load makes p the password to bring in.
func (r *rotation) load(p *Pending) error {
	password, err := r.unseal(p)
	if err != nil {
		return err
	}
	r.password.Wipe()
	r.next, r.password, r.hash = p, password, ""
	return nil
}

// unharmed is p with the fields of an earlier version with which its sealed string opens,
// if somebody has since edited what it is bound to; nil without such a version.
func (r *rotation) unharmed(ctx context.Context, p *Pending) (found *Pending, version int) {
	for version, c := range r.versions(ctx, r.cred.Version-1) {
		for _, q := range []*Pending{c.current(), c.Pending} {
			if q == nil || q.Password != p.Password || q.same(p) {
				continue
			}
			if password, err := r.unseal(q); err == nil {
				password.Wipe()
				whole := *p
				whole.LastRotated, whole.KeyVersion = q.LastRotated, q.KeyVersion
				return &whole, version
			}
		}
	}
	return nil, 0
}

// edited names the fields in which p and q differ, except the sealed string.
func (p *Pending) edited(q *Pending) string {
	var fields []string
	if p.LastRotated != q.LastRotated {
		fields = append(fields, fieldLastRotated)
	}
	if p.KeyVersion != q.KeyVersion {
		fields = append(fields, fieldKeyVersion)
	}
	return strings.Join(fields, " and ")
}

// explain adds what the record's history knows about a password that does not open.
func (r *rotation) explain(ctx context.Context, lost *Pending, unreadable error) error {
	repair := "mailu-rotator verify --repair --tenant " + string(r.cred.Tenant)
	rollback := fmt.Sprintf("%s, or mailu-rotator rollback %s --to", repair, r.cred.Tenant)
	unharmed, version := r.unharmed(ctx, lost)
	switch {
	case unharmed != nil && r.cred.holdsPending(lost):
		return fmt.Errorf("the pending password does not open: %s was changed by hand since version %d, and is part of its sealing: %s", lost.edited(unharmed), version, repair)
	case unharmed != nil:
		return fmt.Errorf("the password does not open: %s was changed by hand since version %d, and is part of its sealing: %s %d", lost.edited(unharmed), version, rollback, version)
	}
	if r.cred.Pending != nil {
		return unreadable
	}
	past := opened{rotation: r}
	defer past.wipe()
	for version, c := range r.versions(ctx, r.cred.Version-1) {
		if _, another, _ := past.open(c.current()); another {
			return fmt.Errorf("%w; the one of version %d does: %s %d", unreadable, version, rollback, version)
		}
	}
	return unreadable
}

// versions yields earlier records, newest first. It skips records that are deleted,
// destroyed, dropped from the history or malformed.
func (r *rotation) versions(ctx context.Context, from int) iter.Seq2[int, Credential] {
	return func(yield func(int, Credential) bool) {
		for version := from; version > max(from-maxRemembered, 0); version-- {
			c, err := ReadVersion(ctx, r.Store, r.cred.Tenant, version, r.DefaultPolicy)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				continue
			case !yield(version, c):
				return
			}
		}
	}
}

// ReadVersion reads one version of a tenant's record.
func ReadVersion(ctx context.Context, store Store, tenant TenantID, version int, defaultPolicy Policy) (Credential, error) {
	ctx, cancel := context.WithTimeout(ctx, StoreDeadline)
	defer cancel()
	doc, err := store.ReadVersion(ctx, tenant, version)
	if err != nil {
		return Credential{}, err
	}
	return ParseCredential(tenant, doc, defaultPolicy)
}

// undelete restores a record whose newest version was deleted, if an earlier version
// has the password that Mailu accepts, and allowed permits it.
func (r *rotation) undelete(ctx context.Context, deleted int, allowed func(Credential) error) error {
	for version, c := range r.versions(ctx, deleted-1) {
		if err := allowed(c); err != nil {
			return err
		}
		server, err := r.Mailu.Server(c.Origin)
		if err != nil {
			return err
		}
		r.server, r.cred = server, c
		if err := r.findInHistory(ctx, version, nil); err != nil {
			return err
		}
		r.promote(&c)
		c.Pending, c.Version = nil, deleted
		written, err := r.store(ctx, c)
		if err != nil {
			return fmt.Errorf("write the record back: %w", err)
		}
		r.cred = c.writtenAs(written, r.Clock.Now())
		return nil
	}
	return fmt.Errorf("%w: bring the deleted version back (`vault kv undelete`)", errForgotten)
}
