package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/vault/vaulttest"
)

// tenant is one record and its user in Mailu, as they were seeded.
type tenant struct {
	name    string // in the test
	id      string
	user    string
	mailu   *mailuServer
	first   string // the password that Mailu and Vault had at first
	begun   string // the pending password of a dead or a living process, if any
	version int    // of the record
}

func (s *site) layout() vaulttest.Layout {
	return vaulttest.Layout{Mount: s.name, Prefix: "smtp", Leaf: "admin", TransitMount: "transit", TransitKey: s.name}
}

// seed makes a record and its user. Besides fields as they are stored, with Go
// escapes, the settings are mailu=NAME, age=DURATION or age=DAYS, policy=POLICY,
// without=FIELD, absent=user, and pending=dead or pending=alive: a password that
// a process left half-finished, or is at.
func (s *site) seed(ctx context.Context, name string, settings ...string) error {
	t := &tenant{
		name: name, id: fmt.Sprintf("%08x-5eed-4000-8000-%012x", 0xa0000000+len(s.tenants), len(s.tenants)),
		user: "admin@" + name + ".example", first: "the \"first\" pässword of " + s.name + "/" + name + " + <%&>",
	}
	options, fields, err := split(settings)
	if err != nil {
		return err
	}
	if t.mailu, err = s.mailu(options["mailu"]); err != nil {
		return err
	}
	if user, given := fields["username"].(string); given {
		t.user = user
	}
	if options["absent"] == "" {
		t.mailu.AddUser(t.user, t.first)
	}
	record, err := s.record(ctx, t, options, fields)
	if err != nil {
		return err
	}
	s.tenants[name] = t
	return s.store(ctx, t, record)
}

// split tells the settings of seed from fields.
func split(settings []string) (options map[string]string, fields map[string]any, err error) {
	options, fields = map[string]string{}, map[string]any{}
	for _, setting := range settings {
		key, value, found := strings.Cut(setting, "=")
		if !found {
			return nil, nil, fmt.Errorf("%q: want key=value", setting)
		}
		switch key {
		case "mailu", "age", "policy", "without", "pending", "absent":
			options[key] = value
			continue
		}
		if fields[key], err = strconv.Unquote(`"` + value + `"`); err != nil {
			return nil, nil, fmt.Errorf("%q: %w", setting, err)
		}
	}
	return options, fields, nil
}

func (s *site) record(ctx context.Context, t *tenant, options map[string]string, fields map[string]any) (map[string]any, error) {
	born := time.Now().Add(-time.Hour)
	if age := options["age"]; age != "" {
		days, err := strconv.Atoi(age)
		length := time.Duration(days) * 24 * time.Hour
		if err != nil {
			length, err = time.ParseDuration(age)
		}
		if err != nil {
			return nil, err
		}
		born = time.Now().Add(-length)
	}
	made := born.UTC().Format(time.RFC3339)
	record := map[string]any{
		"username": t.user, "webmail_url": t.mailu.Origin() + "/webmail", "created_at": made, "last_rotated": made,
		"key_version": int(s.version), "customer_number": 9007199254740991,
	}
	if policy := options["policy"]; policy != "" {
		record["rotation_policy"] = policy
	}
	for key, value := range fields {
		record[key] = value
	}
	delete(record, options["without"])
	sealedFor, _ := record["last_rotated"].(string)
	var err error
	if record["password"], err = s.sealFor(ctx, t, sealedFor, t.first); err != nil {
		return nil, err
	}
	delete(record, options["without"])
	if claim := options["pending"]; claim != "" {
		record["pending"], err = s.pending(ctx, t, claim)
	}
	return record, err
}

// pending is what prepare leaves behind.
func (s *site) pending(ctx context.Context, t *tenant, claim string) (map[string]any, error) {
	begun := time.Now().Add(-time.Hour)
	until := begun.Add(5 * time.Minute)
	if claim == "alive" {
		until = time.Now().Add(time.Hour)
	}
	made := begun.UTC().Format(time.RFC3339)
	t.begun = "Begun-password-of-" + s.name + "-" + t.name
	sealed, err := s.sealFor(ctx, t, made, t.begun)
	return map[string]any{
		"password": sealed, "last_rotated": made, "key_version": int(s.version),
		"owner": "elsewhere/4711/deadbeef", "claimed_until": until.UTC().Format(time.RFC3339),
	}, err
}

func (s *site) sealFor(ctx context.Context, t *tenant, lastRotated, password string) (string, error) {
	s.ledger.addToken("password of "+t.name, password)
	ring, err := s.keyring(ctx)
	if err != nil {
		return "", err
	}
	defer ring.Wipe()
	sealed, err := crypto.Seal(ring.Newest(), crypto.Binding{TenantID: t.id, LastRotated: lastRotated}, crypto.SecretFromString(password))
	s.ledger.addToken("sealed password of "+t.name, string(sealed))
	return string(sealed), err
}

// store writes the record as it is now to be found.
func (s *site) store(ctx context.Context, t *tenant, record map[string]any) error {
	l := s.layout()
	written, err := s.root.KVv2(l.Mount).Put(ctx, l.Path(t.id), record)
	if err != nil {
		return err
	}
	t.version = written.VersionMetadata.Version
	return nil
}
