package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"mailu-rotator/mailu/mailutest"
)

// tenant is one record and its user, and this run's interventions.
type tenant struct {
	id    string
	user  string
	mailu *mailutest.Server
	held  string // by Mailu at first
	// expires: Vault deletes each version of the record some time after it was written.
	expires bool

	mu      sync.Mutex // guards the fields below
	edits   map[string]edit
	excuses []excuse // with the password in the clear
	notes   []note
	rivals  []rivalry
	pushes  []pushSeen
}

func (t *tenant) note(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notes = append(t.notes, note{time.Now(), text})
}

func (t *tenant) excuse(e excuse) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.excuses = append(t.excuses, e)
}

func (t *tenant) edited(mark string, e edit) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.edits[mark] = e
}

// excused reports whether a stray push of this run may have arrived by now.
func (t *tenant) excused() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.excuses {
		if !time.Now().Before(e.from) {
			return true
		}
	}
	return false
}

// seedTenants creates tenants of many ages. Every fourth has a rotation that a dead
// process left half-finished; every second of these had been pushed.
func (s *stage) seedTenants(ctx context.Context) error {
	var group errgroup.Group
	group.SetLimit(4)
	for i := range s.options.tenants {
		t := &tenant{
			id:    fmt.Sprintf("%08x-5eed-4000-8000-%012x", 0xa0000000+i, i),
			user:  fmt.Sprintf("admin@tenant%04d.example", i),
			mailu: s.mailus[i%len(s.mailus)],
			edits: map[string]edit{},
		}
		t.expires = i%5 == 3 && i < 60
		s.tenants = append(s.tenants, t)
		s.byID[t.id], s.observer.byUser[t.user] = t, t.id
		group.Go(func() error { return s.seedTenant(ctx, t, i) })
	}
	return group.Wait()
}

func (s *stage) seedTenant(ctx context.Context, t *tenant, i int) error {
	ages := []int{400, 3, 181, 30, 0}
	policies := []string{"1_days", "30_days", "180_days", "manual"}
	born := s.began.AddDate(0, 0, -ages[i%len(ages)]).UTC().Format(time.RFC3339)
	t.held = fmt.Sprintf("the \"first\" pässword of tenant %d + <%%&>", i)
	fields, err := s.eyes.seal(t.id, t.held, born)
	if err != nil {
		return err
	}
	fields["username"], fields["webmail_url"] = t.user, t.mailu.Origin()+"/webmail"
	fields["created_at"], fields["rotation_policy"] = born, policies[i%len(policies)]
	fields["customer_number"] = json.Number("9007199254740991")
	fields["contact"] = map[string]any{"name": "Zoë <&>", "phones": []any{"1", json.Number("2")}}
	if i%4 == 0 {
		begun := s.began.Add(-time.Hour).UTC()
		password := fmt.Sprintf("Begun-password-of-%d", i)
		pending, err := s.eyes.seal(t.id, password, begun.Format(time.RFC3339))
		if err != nil {
			return err
		}
		pending["owner"], pending["claimed_until"] = "elsewhere/4711/deadbeef", begun.Add(5*time.Minute).Format(time.RFC3339)
		fields["pending"] = pending
		s.observer.mu.Lock()
		s.observer.begun(t.id, pending["password"].(string))
		s.observer.mu.Unlock()
		if i%8 == 0 {
			t.held = password
		}
	}
	t.mailu.AddUser(t.user, t.held)
	return s.eyes.write(ctx, t.id, 0, fields)
}

// others returns the fields of a record that a rotation must not change, in a canonical
// form.
func others(fields map[string]any) string {
	kept := map[string]any{}
	for name, value := range fields {
		switch name {
		case "password", "last_rotated", "key_version", "pending", "proof", "created_at":
		default:
			kept[name] = value
		}
	}
	text, err := json.Marshal(kept) // with sorted keys
	if err != nil {
		return "not to be spelled: " + err.Error()
	}
	return string(text)
}
