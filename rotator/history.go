package rotator

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"mailu-rotator/crypto"
)

// maxRemembered bounds how many earlier versions are looked at. KV v2 keeps 10
// unless it is configured otherwise.
const maxRemembered = 50

// errForgotten: no earlier version holds what was looked for.
var errForgotten = errors.New("no earlier version of the record holds it")

// remember finds the password that Mailu holds among the current and pending
// ones of the version from and earlier ones, but for the one that is known not
// to be it, and makes it the one to be brought in.
func (r *rotation) remember(ctx context.Context, from int, known crypto.SealedPassword) error {
	asked := map[crypto.SealedPassword]bool{known: true}
	for version, c := range r.versions(ctx, from) {
		for _, p := range []*Pending{c.Pending, c.current()} {
			if p == nil || asked[p.Password] {
				continue
			}
			asked[p.Password] = true
			proof, err := r.proves(ctx, p)
			switch {
			case errors.Is(err, errUnreadable):
				continue
			case err != nil:
				return fmt.Errorf("ask about version %d: %w", version, err)
			case proof == Held:
				return r.take(p)
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return errForgotten
}

// take makes p the password to be brought in.
func (r *rotation) take(p *Pending) error {
	password, err := r.unseal(p)
	if err != nil {
		return err
	}
	r.next, r.password = p, password
	return nil
}

// versions yields earlier records, newest first. Those that are deleted,
// destroyed, dropped from the history or malformed are left out.
func (r *rotation) versions(ctx context.Context, from int) iter.Seq2[int, Credential] {
	return func(yield func(int, Credential) bool) {
		for version := from; version > max(from-maxRemembered, 0); version-- {
			c, err := r.readVersion(ctx, version)
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

func (r *rotation) readVersion(ctx context.Context, version int) (Credential, error) {
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	doc, err := r.Store.ReadVersion(ctx, r.cred.Tenant, version)
	if err != nil {
		return Credential{}, err
	}
	return ParseCredential(r.cred.Tenant, doc, r.DefaultPolicy)
}

// undelete brings back a record whose newest version was deleted, if an earlier
// one holds the password that Mailu accepts.
func (r *rotation) undelete(ctx context.Context, deleted int) error {
	for version, c := range r.versions(ctx, deleted-1) {
		server, err := r.Mailu.Server(c.Origin)
		if err != nil {
			return err
		}
		r.server, r.cred = server, c
		if err := r.remember(ctx, version, ""); err != nil {
			return err
		}
		return r.revive(ctx, deleted)
	}
	return fmt.Errorf("%w: bring the deleted version back (`vault kv undelete`)", errForgotten)
}

// revive writes the record as the version after the deleted one.
func (r *rotation) revive(ctx context.Context, deleted int) error {
	next := r.cred
	next.promote(r.next)
	next.Pending, next.Version = nil, deleted
	version, err := r.store(ctx, next)
	if err != nil {
		return fmt.Errorf("write the record back: %w", err)
	}
	next.Version = version
	r.cred = next
	return nil
}
