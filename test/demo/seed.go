package main

import (
	"context"
	"fmt"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/vault/vaulttest"
)

// tenant is one record with its history.
type tenant struct {
	id      string
	user    string
	mailu   int    // which server
	age     int    // days
	policy  string // "": none stored
	story   string
	mangle  func(fields map[string]any)
	pending bool // a process died between prepare and commit
	first   string
}

func cast() []tenant {
	remove := func(name string) func(map[string]any) {
		return func(fields map[string]any) { delete(fields, name) }
	}
	ageless := func(fields map[string]any) { delete(fields, "created_at"); fields["last_rotated"] = "long ago" }
	return []tenant{
		{age: 400, story: "400 days old: the oldest, its server's canary"},
		{age: 365, story: "a year old"},
		{age: 181, story: "just past the default policy, 180_days"},
		{age: 40, policy: "30_days", story: "40 days old under 30_days"},
		{age: 25, policy: "30_days", story: "25 days old under 30_days: not due"},
		{age: 179, story: "179 days old: due tomorrow"},
		{age: 3, story: "3 days old"},
		{age: 900, policy: "manual", story: "manual: never due, rotated when asked for"},
		{age: 200, story: "no usable timestamp: its age is unknown, so it is due", mangle: ageless},
		{age: 200, story: "a rotation that a dead process left half-finished", pending: true},
		{age: 300, policy: "90days", story: "malformed: rotation_policy 90days"},
		{age: 300, story: "malformed: no username", mangle: remove("username")},
	}
}

// many is a fleet without surprises.
func many(n int) (all []tenant) {
	for i := range n {
		all = append(all, tenant{age: 20 * (n - i)})
	}
	return all
}

func (s *stage) seed(ctx context.Context) error {
	keys, err := s.masterKey(ctx)
	if err != nil {
		return err
	}
	defer keys.Wipe()
	for i := range s.tenants {
		t := &s.tenants[i]
		t.id = fmt.Sprintf("%08x-5eed-4000-8000-%012x", 0xa0000000+i, i)
		t.mailu = i % len(s.mailus)
		t.user = fmt.Sprintf("admin@tenant%02d.example", i)
		t.first = fmt.Sprintf("first password of tenant %d", i)
		s.mailus[t.mailu].AddUser(t.user, t.first)
		fields, err := t.record(keys, s.mailus[t.mailu].Origin())
		if err != nil {
			return err
		}
		if err := s.vault.Put(ctx, vaulttest.DefaultLayout().Path(t.id), fields); err != nil {
			return err
		}
	}
	return nil
}

func (t *tenant) record(keys *crypto.Keyring, origin string) (map[string]any, error) {
	born := time.Now().UTC().AddDate(0, 0, -t.age).Format(time.RFC3339)
	fields := map[string]any{
		"username": t.user, "webmail_url": origin + "/webmail", "created_at": born, "last_rotated": born,
		"key_version": keys.Newest().Version, "customer_number": 4711,
	}
	if t.policy != "" {
		fields["rotation_policy"] = t.policy
	}
	if t.mangle != nil {
		t.mangle(fields)
	}
	sealedFor, _ := fields["last_rotated"].(string)
	sealed, err := crypto.Seal(keys.Newest(), crypto.Binding{TenantID: t.id, LastRotated: sealedFor}, crypto.SecretFromString(t.first))
	if err != nil {
		return nil, err
	}
	fields["password"] = sealed
	if t.pending {
		fields["pending"], err = t.halfFinished(keys)
	}
	return fields, err
}

// halfFinished is the record after the process died right after prepare.
func (t *tenant) halfFinished(keys *crypto.Keyring) (map[string]any, error) {
	begun := time.Now().UTC().Add(-time.Hour)
	made := begun.Format(time.RFC3339)
	sealed, err := crypto.Seal(keys.Newest(), crypto.Binding{TenantID: t.id, LastRotated: made}, crypto.SecretFromString("Pending-password-of-a-dead-process"))
	return map[string]any{
		"password": sealed, "last_rotated": made, "key_version": keys.Newest().Version,
		"owner": "ops1/4711/deadbeef", "claimed_until": begun.Add(5 * time.Minute).Format(time.RFC3339),
	}, err
}
