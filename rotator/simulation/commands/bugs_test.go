package commands_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// A harness that finds nothing proves nothing: each of these breaks the commands from
// outside, by changing what they see of the world.
func TestSeededBugsOfCommandsAreFound(t *testing.T) {
	for _, test := range bugs() {
		t.Run(test.name, func(t *testing.T) {
			r := explore(t, test.scenario)

			if r.broken == "" {
				t.Fatalf("not found in %d states", r.states)
			}
			t.Logf("found after %d states: %s\n%s", r.states, r.broken, r.schedule)
			if !strings.Contains(r.broken, test.finds) {
				t.Errorf("found %q, want %q", r.broken, test.finds)
			}
		})
	}
}

type seeded struct {
	scenario
	finds string
}

func bugs() []seeded {
	twoAdd := []command{adding("tenant add", tenantA, user, webmail), adding("another tenant add", tenantB, user, webmail)}
	return []seeded{
		{scenario{
			name: "an addition is not admitted in its record", world: noRecord, rest: oneNamesTheUser, commands: twoAdd,
			bug: func(_ string, s *sweep.Sweep) { s.Store = secretive{s.Store} },
		}, "without a live claim"},
		{scenario{
			name: "an addition is withdrawn without check-and-set", world: noRecord, rest: oneNamesTheUser, commands: twoAdd,
			bug: func(_ string, s *sweep.Sweep) { s.Store = ruthless{s.Store} },
		}, "withdraws b, which may have been pushed"},
		{scenario{
			name: "an addition that gives way is not withdrawn", world: noRecord, rest: oneNamesTheUser, commands: twoAdd,
			bug: func(_ string, s *sweep.Sweep) { s.Store = idle{s.Store} },
		}, "seen in two records"},
		{scenario{
			name: "an addition does not look again when its record is there", world: noRecord, rest: oneNamesTheUser,
			commands: []command{adding("tenant add", tenantA, user, webmail), adding("another tenant add", tenantB, user, webmail)},
			bug:      func(_ string, s *sweep.Sweep) { s.Store = &frozen{Store: s.Store} },
		}, "locked out"},
		{scenario{
			name: "rivals are told apart by the text of their origins", world: rivals(user, "https://webmail.example"), commands: []command{runNow()},
			bug: func(_ string, s *sweep.Sweep) { s.Mailu = literal{s.Mailu} },
		}, "seen in two records"},
		{scenario{
			name: "a run does not look at all records", world: rivals(user, webmail), commands: []command{runNow(), repairing("repair")},
			bug: func(name string, s *sweep.Sweep) {
				if name == "run-now" {
					s.Store = partial{s.Store}
				}
			},
		}, "seen in two records"},
		{scenario{
			name: "a rollback compares envelopes, and not passwords", world: resealed, newKey: true, commands: []command{rollingBack(1)},
			bug: func(_ string, s *sweep.Sweep) {
				proper := s.Envelope
				s.Envelope = func(keys *crypto.Keyring) rotator.Envelope { return apart{proper(keys).(*envelope)} }
			},
		}, "an older key"},
		{scenario{
			name: "a write does not compare versions, after a stale read", world: tenants(tenantA), stale: 1,
			commands: []command{daemon(), runNow()},
			bug:      func(_ string, s *sweep.Sweep) { s.Store = blind{s.Store} },
		}, "second password"},
		{scenario{
			name: "a repair takes what a stale read shows for drift, without check-and-set", world: history(two, one, two), stale: 2,
			commands: []command{repairing("repair")},
			bug:      func(_ string, s *sweep.Sweep) { s.Store = blind{s.Store} },
		}, "never seen to hold"},
		{scenario{
			name: "what becomes current is not opened", world: editedHistory, commands: []command{repairing("repair")},
			bug: func(_ string, s *sweep.Sweep) {
				proper := s.Envelope
				s.Envelope = func(keys *crypto.Keyring) rotator.Envelope { return lax{proper(keys).(*envelope)} }
			},
		}, "does not open"},
		{scenario{
			name: "a repair makes current what Mailu does not hold", world: history(other, one, two), commands: []command{repairing("repair")},
			bug: func(_ string, s *sweep.Sweep) { s.Mailu = credulous{s.Mailu.(servers)} },
		}, "never seen to hold"},
	}
}

// literal treats each origin as a separate Mailu.
type literal struct{ rotator.Mailu }

func (literal) API(origin rotator.Origin) string { return string(origin) }

// partial lists one tenant.
type partial struct{ rotator.Store }

func (s partial) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for name, err := range s.Store.List(ctx) {
			if name != string(tenantA) && !yield(name, err) {
				return
			}
		}
	}
}

// frozen always returns its first list, but never an empty one, which would be an
// error.
type frozen struct {
	rotator.Store
	names []string
	asked bool
}

func (s *frozen) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if !s.asked {
			s.asked, s.names = true, []string{"not-a-tenant"}
			for name, err := range s.Store.List(ctx) {
				if err == nil {
					s.names = append(s.names, name)
				}
			}
		}
		for _, name := range s.names {
			if !yield(name, nil) {
				return
			}
		}
	}
}

// resealed has the current password in an envelope of an older key too.
func resealed(w *world) {
	w.put(tenantA, w.seal(tenantA, blank(user, webmail), "2026-01-02T00:00:00.000Z", one, 1))
	w.put(tenantA, w.seal(tenantA, blank(user, webmail), "2026-01-02T00:00:00.000Z", one, 2))
	w.users[user] = one
}

// apart returns another password for what the newer key sealed.
type apart struct{ *envelope }

func (a apart) Open(version crypto.KeyVersion, from crypto.Binding, sealed crypto.SealedPassword) (crypto.Secret, error) {
	password, err := a.envelope.Open(version, from, sealed)
	if version == 2 {
		return crypto.SecretFromString(password.RevealString() + "-in-another-envelope"), err
	}
	return password, err
}

// editedHistory has an earlier version whose last_rotated somebody edited, so that its
// password, which Mailu holds, no longer opens.
func editedHistory(w *world) {
	edited := w.seal(tenantA, blank(user, webmail), "2026-01-01T00:00:00.000Z", one, 1)
	edited["last_rotated"] = "2026-01-02T00:00:00.000Z"
	w.put(tenantA, edited)
	w.put(tenantA, w.seal(tenantA, blank(user, webmail), "2026-01-03T00:00:00.000Z", two, 1))
	w.users[user] = one
}

// blind overwrites versions that it has not read.
type blind struct{ rotator.Store }

func (s blind) Write(ctx context.Context, t rotator.TenantID, doc rotator.Document) (int, error) {
	version, err := s.Store.Write(ctx, t, doc)
	if !errors.Is(err, rotator.ErrConflict) {
		return version, err
	}
	now, err := s.Read(ctx, t)
	if err != nil {
		return 0, err
	}
	return s.Store.Write(ctx, t, rotator.Document{Version: now.Version, Fields: doc.Fields})
}

// secretive admits additions without recording it.
type secretive struct{ rotator.Store }

func (s secretive) Write(ctx context.Context, t rotator.TenantID, doc rotator.Document) (int, error) {
	doc.Fields = copyOf(doc.Fields)
	if pending, found := doc.Fields["pending"].(map[string]any); found {
		delete(pending, "admitted")
	}
	return s.Store.Write(ctx, t, doc)
}

// ruthless withdraws a record in any state.
type ruthless struct{ rotator.Store }

func (s ruthless) Write(ctx context.Context, t rotator.TenantID, doc rotator.Document) (int, error) {
	if doc.Fields["withdrawn"] != nil {
		return blind(s).Write(ctx, t, doc)
	}
	return s.Store.Write(ctx, t, doc)
}

// idle withdraws nothing, and reports that it did.
type idle struct{ rotator.Store }

func (s idle) Write(ctx context.Context, t rotator.TenantID, doc rotator.Document) (int, error) {
	if doc.Fields["withdrawn"] != nil {
		return doc.Version + 1, nil
	}
	return s.Store.Write(ctx, t, doc)
}

// lax opens every sealed password, whatever the other fields are.
type lax struct{ *envelope }

func (l lax) Open(_ crypto.KeyVersion, _ crypto.Binding, sealed crypto.SealedPassword) (crypto.Secret, error) {
	return crypto.SecretFromString(l.world.sealed[string(sealed)]), nil
}

// credulous reports every password except the current one as held.
type credulous struct{ servers }

func (m credulous) Server(origin rotator.Origin) (rotator.Server, error) {
	server, err := m.servers.Server(origin)
	return credulousServer{server}, err
}

type credulousServer struct{ rotator.Server }

func (s credulousServer) Verify(ctx context.Context, user string, password crypto.Secret) (*rotator.HashCheck, error) {
	check, err := s.Server.Verify(ctx, user, password)
	if password.RevealString() == one {
		return &rotator.HashCheck{Check: func() (rotator.Verification, error) { return rotator.Match, nil }}, err
	}
	return check, err
}
