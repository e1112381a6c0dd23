package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/crypto"
	"mailu-rotator/test/vaultread"
)

// held is what Vault holds for a tenant, opened without the program's code.
type held struct {
	version     int
	lastRotated string
	current     string
	sealed      string
	pending     string // "" at rest
}

// read opens version n of a tenant's record; 0 is the newest.
func (s *site) read(ctx context.Context, t *tenant, n int) (h held, err error) {
	l := s.layout()
	secret, err := s.root.KVv2(l.Mount).GetVersion(ctx, l.Path(t.id), n)
	if err != nil {
		return h, err
	}
	h.version = secret.VersionMetadata.Version
	h.lastRotated, _ = secret.Data["last_rotated"].(string)
	h.sealed, _ = secret.Data["password"].(string)
	ring, err := s.keyring(ctx)
	if err != nil {
		return h, err
	}
	defer ring.Wipe()
	if h.current, err = s.open(ring, t, secret.Data); err != nil {
		return h, err
	}
	if pending, isMap := secret.Data["pending"].(map[string]any); isMap {
		h.pending, err = s.open(ring, t, pending)
	}
	return h, err
}

func (s *site) open(ring *crypto.Keyring, t *tenant, fields map[string]any) (string, error) {
	sealed, isText := fields["password"].(string)
	if !isText {
		return "", nil // a record that was seeded malformed
	}
	lastRotated, _ := fields["last_rotated"].(string)
	number, _ := fields["key_version"].(json.Number)
	version, _ := number.Int64()
	as := openedKey(t, lastRotated, version, sealed)
	if known, found := s.opened.Load(as); found {
		return known.(string), nil
	}
	password, err := vaultread.Open(ring, t.id, fields)
	if err != nil {
		return "", fmt.Errorf("%s: %w", t.name, err)
	}
	s.ledger.addToken("sealed password of "+t.name, sealed)
	s.ledger.addToken("password of "+t.name, password.RevealString())
	s.opened.Store(as, password.RevealString())
	return password.RevealString(), nil
}

// confess tells the ledger every password that Vault has ever held for this site.
func (s *site) confess(ctx context.Context) error {
	for _, t := range s.tenants {
		newest, err := s.read(ctx, t, 0)
		if err != nil {
			return err
		}
		for n := t.version; n < newest.version; n++ {
			if _, err := s.read(ctx, t, n); err != nil && !errors.Is(err, api.ErrSecretNotFound) { // dropped by max_versions
				return err
			}
		}
	}
	return nil
}

// reachable is the invariant at any moment: Mailu accepts a password that Vault holds.
// While a process works on the tenant Vault may be a step ahead of what was read, so a
// mismatch is read again.
func (s *site) reachable(ctx context.Context, t *tenant) error {
	for range 3 {
		h, err := s.read(ctx, t, 0)
		if err != nil {
			return err
		}
		if t.mailu.Accepts(t.user, h.current) || t.mailu.Accepts(t.user, h.pending) {
			return nil
		}
	}
	return fmt.Errorf("%s is locked out: mailu accepts neither the current nor the pending password", t.name)
}

// settled is the invariant at rest.
func (s *site) settled(ctx context.Context, t *tenant) (held, error) {
	h, err := s.read(ctx, t, 0)
	switch {
	case err != nil:
		return h, err
	case h.pending != "":
		return h, fmt.Errorf("%s has a pending password", t.name)
	case !t.mailu.Accepts(t.user, h.current):
		return h, fmt.Errorf("%s is locked out: mailu does not accept the password in vault", t.name)
	}
	return h, nil
}

// accepts is settled without details.
func (s *site) accepts(ctx context.Context, t *tenant) error {
	_, err := s.settled(ctx, t)
	return err
}

// rotated: at rest with a password that neither the seed nor anyone but the program
// made.
func (s *site) rotated(ctx context.Context, t *tenant) error {
	h, err := s.settled(ctx, t)
	if err != nil {
		return err
	}
	if h.current == t.first || h.current == t.begun {
		return fmt.Errorf("%s was not rotated", t.name)
	}
	return nil
}

// finished: at rest with exactly the password that was pending.
func (s *site) finished(ctx context.Context, t *tenant) error {
	h, err := s.settled(ctx, t)
	if err != nil {
		return err
	}
	if h.current != t.begun {
		return fmt.Errorf("%s does not have the password that was pending", t.name)
	}
	return nil
}

// untouched: no write to Vault, no password set in Mailu.
func (s *site) untouched(ctx context.Context, t *tenant) error {
	h, err := s.read(ctx, t, 0)
	switch {
	case err != nil:
		return err
	case h.version != t.version:
		return fmt.Errorf("the record of %s was written: version %d, seeded as %d", t.name, h.version, t.version)
	case t.mailu.PasswordSets(t.user) != 0:
		return fmt.Errorf("the password of %s was set in mailu", t.name)
	}
	return nil
}
