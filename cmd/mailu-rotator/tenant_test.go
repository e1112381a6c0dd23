package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"mailu-rotator/crypto"
)

// tenant is one record and its user in Mailu, as seeded.
type tenant struct {
	name    string // in the test
	id      string
	user    string
	mailu   *mailuServer
	first   string // the initial password in Mailu and Vault
	begun   string // the pending password of a dead or a living process, if any
	version int    // of the record
}

// seed creates a record and its user. Besides fields as they are stored, with Go
// escapes, the settings are mailu=NAME, age=DURATION or age=DAYS, policy=POLICY,
// without=FIELD, absent=user, and pending=dead or pending=alive: a password that a dead
// process left half-finished, or that a living one is rotating.
func (s *site) seed(ctx context.Context, name string, settings ...string) error {
	n := len(s.tenants)
	t := &tenant{
		name: name, id: fmt.Sprintf("%08x-5eed-4000-8000-%012x", 0xa0000000+n, n),
		user: "admin@" + name + ".example", first: fmt.Sprintf("the \"first\" pässword of tenant %d + <%%&>", n),
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

// split separates the settings of seed from fields.
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
	born := s.seeded.Add(-time.Hour)
	if age := options["age"]; age != "" {
		days, err := strconv.Atoi(age)
		length := time.Duration(days) * 24 * time.Hour
		if err != nil {
			length, err = time.ParseDuration(age)
		}
		if err != nil {
			return nil, err
		}
		born = s.seeded.Add(-length)
	}
	made := born.UTC().Format(time.RFC3339)
	record := map[string]any{
		"username": t.user, "webmail_url": t.mailu.Origin() + "/webmail", "created_at": made, "last_rotated": made,
		"key_version": 1, "customer_number": 9007199254740991,
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

// pending returns what prepare writes.
func (s *site) pending(ctx context.Context, t *tenant, claim string) (map[string]any, error) {
	begun := s.seeded.Add(-time.Hour)
	until := begun.Add(5 * time.Minute)
	if claim == "alive" {
		until = time.Now().Add(time.Hour)
	}
	made := begun.UTC().Format(time.RFC3339)
	t.begun = "Begun-password-of-" + t.id
	sealed, err := s.sealFor(ctx, t, made, t.begun)
	return map[string]any{
		"password": sealed, "last_rotated": made, "key_version": 1,
		"owner": "elsewhere/4711/deadbeef", "claimed_until": until.UTC().Format(time.RFC3339),
	}, err
}

// sealFor seals with the first version of the master key.
func (s *site) sealFor(ctx context.Context, t *tenant, lastRotated, password string) (string, error) {
	what := fmt.Sprint(s.key, t.id, lastRotated, password)
	if sealed, found := s.sealed.Load(what); found {
		return sealed.(string), nil
	}
	ring, err := s.keyring(ctx)
	if err != nil {
		return "", err
	}
	defer ring.Wipe()
	sealed, err := crypto.Seal(ring.Newest(), crypto.Binding{TenantID: t.id, LastRotated: lastRotated}, crypto.SecretFromString(password))
	if err != nil {
		return "", err
	}
	s.ledger.addToken("password of "+t.name, password)
	s.ledger.addToken("sealed password of "+t.name, string(sealed))
	s.sealed.Store(what, string(sealed))
	s.opened.Store(openedKey(t, lastRotated, 1, string(sealed)), password)
	return string(sealed), nil
}

// openedKey holds everything that determines what a sealed password opens to.
func openedKey(t *tenant, lastRotated string, version int64, sealed string) string {
	return fmt.Sprint(t.id, lastRotated, version, sealed)
}

// store writes the record as its current version.
func (s *site) store(ctx context.Context, t *tenant, record map[string]any) error {
	l := s.layout()
	written, err := s.root.KVv2(l.Mount).Put(ctx, l.Path(t.id), record)
	if err != nil {
		return err
	}
	t.version = written.VersionMetadata.Version
	return nil
}
