package simulation

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// store, servers and clock are one process's ports: each call is held until the
// scheduler has decided on it.
type (
	store   struct{ *process }
	servers struct{ *process }
	server  struct{ *process }
	clock   struct{ *process }
	// creator creates the record and the user.
	registry struct{ *process }
)

// List implements rotator.Store for the only tenant.
func (s store) List(context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) { yield(tenant, nil) }
}

// Read implements rotator.Store.
func (s store) Read(context.Context, rotator.TenantID) (rotator.Document, error) {
	a := s.ask(request{call: Read})
	return a.doc, a.err
}

// ReadVersion implements rotator.Store. A rotation never reads the history.
func (s store) ReadVersion(context.Context, rotator.TenantID, int) (rotator.Document, error) {
	return rotator.Document{}, errors.ErrUnsupported
}

// Write implements rotator.Store.
func (s store) Write(_ context.Context, _ rotator.TenantID, doc rotator.Document) (int, error) {
	a := s.ask(request{call: Write, doc: rotator.Document{Version: doc.Version, Fields: copyOf(doc.Fields)}})
	return a.version, a.err
}

// Server implements rotator.Mailu.
func (s servers) Server(rotator.Origin) (rotator.Server, error) { return server(s), nil }

// API implements rotator.Mailu.
func (s servers) API(origin rotator.Origin) string { return origin.Host() }

// Knows implements rotator.Server.
func (s server) Knows(context.Context, string) error { return s.ask(request{call: Knows}).err }

// SetPassword implements rotator.Server. It ignores the deadline of its context: a
// process may be stopped between checking the clock and sending.
func (s server) SetPassword(_ context.Context, _ string, password crypto.Secret) error {
	return s.ask(request{call: Set, password: password.RevealString()}).err
}

// PushSlot implements rotator.Server. A process rotates one tenant.
func (server) PushSlot(context.Context) (func(), error) { return func() {}, nil }

// CanLogin implements rotator.Server. There is no mail service.
func (server) CanLogin(string) bool { return false }

// Login implements rotator.Server.
func (server) Login(context.Context, string, crypto.Secret) error { return errors.ErrUnsupported }

// Verify implements rotator.Server.
func (s server) Verify(_ context.Context, _ string, password crypto.Secret) (*rotator.HashCheck, error) {
	a := s.ask(request{call: Proof, password: password.RevealString()})
	return &rotator.HashCheck{Check: func() (rotator.Verification, error) { return a.proof, nil }}, a.err
}

// Hash implements rotator.Server. It shows none, so no record has a proof.
func (server) Hash(context.Context, string) (string, error) { return "", nil }

// CreateRecord implements rotator.Creator: a write that requires version 0.
func (r registry) CreateRecord(ctx context.Context, id rotator.TenantID, fields map[string]any) (int, error) {
	return store(r).Write(ctx, id, rotator.Document{Fields: fields})
}

// CanCreateUser implements rotator.Creator. The domain exists, and a failed request
// here is equivalent to a failed request about the user.
func (r registry) CanCreateUser(context.Context, rotator.Origin, string) error { return nil }

// CreateUser implements rotator.Creator.
func (r registry) CreateUser(_ context.Context, _ rotator.Origin, _ string, password crypto.Secret) error {
	return r.ask(request{call: Create, password: password.RevealString()}).err
}

// Account implements rotator.Server.
func (server) Account(string) rotator.Account { return rotator.Account{} }

// MaxConcurrent implements rotator.Server.
func (server) MaxConcurrent() int { return 1 }

// Now implements rotator.Clock. The time that a process reads is part of what it knows.
func (c clock) Now() time.Time {
	c.digest = mix(c.digest, uint64(c.world.now.UnixMilli()))
	return c.world.now
}

// Sleep implements rotator.Clock; a rotation never sleeps.
func (c clock) Sleep(context.Context, time.Duration) error { return errors.ErrUnsupported }

// learn adds the answer to what the process knows.
func (p *process) learn(c Call) {
	a := p.answer
	p.digest = mix(p.digest, uint64(c)<<32|uint64(a.version)<<16|uint64(a.proof))
	if a.err != nil {
		p.digest = mix(p.digest, p.world.digest(a.err.Error()))
	}
	if a.doc.Fields != nil {
		p.digest = mix(p.digest, mix(uint64(a.doc.Version), a.digest))
		_, p.pending = a.doc.Fields["pending"]
	}
	if c == Write && a.err == nil {
		_, p.pending = p.request.doc.Fields["pending"]
	}
}

func passwordName(by string, n int) string { return fmt.Sprintf("%s's %d", by, n) }
