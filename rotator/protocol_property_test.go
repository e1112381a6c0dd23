package rotator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
)

const (
	tenantA = "550e8400-e29b-41d4-a716-446655440000"
	userA   = "admin@a.example"
	originA = rotator.Origin("https://mail.a.example")
	ttl     = 5 * time.Minute
)

// fixture is one tenant with everything around it, in memory.
type fixture struct {
	store  *rotatortest.Store
	mailu  *rotatortest.Mailu
	clock  *rotatortest.Clock
	ring   *crypto.Keyring
	made   int               // passwords
	known  map[string]string // content of sealed passwords; a derivation costs 20 ms
	before string            // Mailu's password before the tenant was added
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	clock := rotatortest.NewClock(time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC))
	h := &fixture{
		store: &rotatortest.Store{Clock: clock},
		mailu: &rotatortest.Mailu{Origins: []rotator.Origin{originA}},
		clock: clock,
		known: map[string]string{},
	}
	ring, err := h.store.MasterKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.ring = ring
	const born = "2026-01-01T00:00:00Z"
	h.store.Put(tenantA, map[string]any{
		"username": userA, "webmail_url": "https://mail.a.example/webmail",
		"password":     h.seal(t, born, "first password"),
		"last_rotated": born, "created_at": born, "key_version": 1, "note": "not ours",
	})
	h.mailu.AddUser(userA, "first password")
	return h
}

// sealedBefore caches seal's results: all fixtures have the same key and tenant.
var sealedBefore sync.Map

func (h *fixture) seal(t testing.TB, lastRotated, password string) string {
	t.Helper()
	if sealed, found := sealedBefore.Load(lastRotated + password); found {
		h.known[sealed.(string)] = password
		return sealed.(string)
	}
	sealed, err := crypto.Seal(h.ring.Newest(), crypto.Binding{TenantID: tenantA, LastRotated: lastRotated}, crypto.SecretFromString(password))
	if err != nil {
		t.Fatal(err)
	}
	sealedBefore.Store(lastRotated+password, string(sealed))
	return string(sealed)
}

// process is a rotator that acts as the named owner.
func (h *fixture) process(owner string) *rotator.Rotator {
	policy, _ := rotator.ParsePolicy("180_days")
	return &rotator.Rotator{
		Store: h.store, Mailu: h.mailu, Keys: remembering{h.ring, h.known}, Clock: h.clock,
		NewPassword: func() (crypto.Secret, error) {
			h.made++
			return crypto.SecretFromString(fmt.Sprintf("password %d", h.made)), nil
		},
		DefaultPolicy: policy, Owner: owner, ClaimTTL: ttl,
	}
}

// remembering is the real envelope, but derives no key again for what was sealed here;
// a derivation costs 20 ms.
type remembering struct {
	*crypto.Keyring
	known map[string]string
}

func (r remembering) Seal(to crypto.Binding, password crypto.Secret) (crypto.SealedPassword, crypto.KeyVersion, error) {
	sealed, version, err := r.Keyring.Seal(to, password)
	r.known[string(sealed)] = password.RevealString()
	r.known[as(version, to, sealed)] = password.RevealString()
	return sealed, version, err
}

func (r remembering) Open(version crypto.KeyVersion, from crypto.Binding, sealed crypto.SealedPassword) (crypto.Secret, error) {
	if password, found := r.known[as(version, from, sealed)]; found {
		return crypto.SecretFromString(password), nil
	}
	return r.Keyring.Open(version, from, sealed)
}

// as is everything that determines what a sealed password opens to.
func as(version crypto.KeyVersion, binding crypto.Binding, sealed crypto.SealedPassword) string {
	return fmt.Sprint(version, binding, sealed)
}

// rotate reads the record and takes it through the protocol.
func (h *fixture) rotate(t testing.TB, owner string) (result rotator.Result) {
	t.Helper()
	process := h.process(owner)
	always := func(c rotator.Credential) (rotator.Action, string) {
		if c.Pending != nil {
			return rotator.Finish, ""
		}
		return rotator.Rotate, ""
	}
	rotatortest.Survive(func() {
		doc, err := h.store.Read(t.Context(), tenantA)
		if err != nil {
			result = rotator.Result{Outcome: rotator.Failed, Err: err}
			return
		}
		c, err := rotator.ParseCredential(tenantA, doc, process.DefaultPolicy)
		if err != nil {
			t.Fatalf("the record became malformed: %v", err)
		}
		result = process.Rotate(context.Background(), c, always, true)
	})
	return result
}

// accepted returns the passwords that Vault holds: current, then pending.
func (h *fixture) accepted(t testing.TB) (passwords []string) {
	t.Helper()
	fields, _ := h.store.Get(tenantA)
	open := func(fields map[string]any) {
		sealed := fields["password"].(string)
		if _, opened := h.known[sealed]; opened {
			passwords = append(passwords, h.known[sealed])
			return
		}
		password, err := h.ring.Open(0, crypto.Binding{TenantID: tenantA, LastRotated: fields["last_rotated"].(string)}, crypto.SealedPassword(sealed))
		if err != nil {
			t.Fatalf("Vault holds a password that does not open: %v", err)
		}
		h.known[sealed] = password.RevealString()
		passwords = append(passwords, h.known[sealed])
	}
	if fields["password"] != nil {
		open(fields)
	}
	if pending, ok := fields["pending"].(map[string]any); ok {
		open(pending)
	}
	return passwords
}

func (h *fixture) checkInvariant(t testing.TB) {
	t.Helper()
	if held, known := h.mailu.Password(userA), h.accepted(t); !slices.Contains(known, held) {
		t.Fatalf("locked out: Mailu accepts %q, Vault holds %q", held, known)
	}
}

func (h *fixture) checkAtRest(t testing.TB) {
	t.Helper()
	if held, known := h.mailu.Password(userA), h.accepted(t); len(known) != 1 || known[0] != held {
		t.Fatalf("not at rest: Mailu accepts %q, Vault holds %q", held, known)
	}
	if fields, _ := h.store.Get(tenantA); fields["note"] != "not ours" || fields["created_at"] != "2026-01-01T00:00:00Z" {
		t.Fatalf("fields of others were changed: %v", fields)
	}
}

// Whatever fails, wherever a process dies, and whichever process takes over at any
// time: Mailu always accepts a password that Vault holds, and after an undisturbed run
// exactly one is left.
func TestNoFaultBreaksTheInvariant(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newFixture(t)
		h.disturb(t, rt, h.checkInvariant)

		for range rapid.IntRange(1, 6).Draw(rt, "runs") {
			h.rotate(t, rapid.SampledFrom([]string{"daemon", "run-now", "second host"}).Draw(rt, "process"))
			h.checkInvariant(t)
			h.clock.Advance(time.Duration(rapid.IntRange(0, int(2*ttl)).Draw(rt, "time passes")))
		}

		h.store.Hook, h.mailu.Hook = nil, nil
		h.clock.Advance(ttl)
		if result := h.rotate(t, "last"); result.Err != nil {
			t.Fatalf("an undisturbed run failed: %v", result.Err)
		}
		h.checkAtRest(t)
	})
}

// disturb lets rapid decide the fate of every call, and checks before each.
func (h *fixture) disturb(t testing.TB, rt *rapid.T, check func(testing.TB)) {
	refused := fmt.Errorf("bad request: %w", rotator.ErrRefused)
	hook := func(c rotatortest.Call) rotatortest.Fault {
		check(t)
		if c.Op == rotatortest.OpWrite && rapid.IntRange(0, 9).Draw(rt, "operator edits") == 0 {
			h.store.Edit(tenantA, func(fields map[string]any) { fields["seen"] = "by an operator" })
		}
		switch rapid.IntRange(0, 13).Draw(rt, string(c.Op)) {
		case 0:
			return rotatortest.Fault{Before: rotatortest.ErrLost}
		case 1:
			return rotatortest.Fault{After: rotatortest.ErrLost}
		case 2:
			return rotatortest.Fault{CrashBefore: true}
		case 3:
			return rotatortest.Fault{CrashAfter: true}
		case 4:
			if c.Op == rotatortest.OpSetPassword || c.Op == rotatortest.OpCreateUser {
				return rotatortest.Fault{Before: refused}
			}
			if c.Op == rotatortest.OpWrite || c.Op == rotatortest.OpCreate {
				return rotatortest.Fault{After: errors.Join(rotator.ErrConflict)} // a retry met its own write
			}
		case 5:
			h.clock.Advance(ttl) // the process stalls beyond its claim
		}
		return rotatortest.Fault{}
	}
	h.store.Hook, h.mailu.Hook = hook, hook
}
