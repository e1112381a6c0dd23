package rotator

import (
	"context"
	"runtime"

	"mailu-rotator/crypto"
)

// host holds this host's limited resources. A process that works on a tenant holds a
// worker's slot, and lends it while it waits for something else.
type host struct {
	workers *slots // how many may talk to the store
	cores   *slots // how many can compute at a time
}

func newHost(workers int) host {
	return host{workers: newSlots(max(workers, 1)), cores: newSlots(runtime.GOMAXPROCS(0))}
}

// compute lends the worker's slot, waits for a core and calls f. The number of cores
// limits concurrent computations: more would not finish sooner, and the answers of
// servers would wait behind them.
func (h host) compute(at stage, f func()) {
	_ = h.workers.lend(at, func() error {
		_ = h.cores.take(context.Background(), at) // fails only with its context
		defer h.cores.release()
		f()
		return nil
	})
}

// lending is a [Mailu] whose callers hold workers' slots.
type lending struct {
	Mailu
	host
}

// Server implements [Mailu].
func (l lending) Server(origin Origin) (Server, error) {
	server, err := l.Mailu.Server(origin)
	if err != nil {
		return nil, err
	}
	return lendingServer{Server: server, host: l.host}, nil
}

type lendingServer struct {
	Server
	host
}

func (l lendingServer) Knows(ctx context.Context, username string) error {
	return l.workers.lend(looked, func() error { return l.Server.Knows(ctx, username) })
}

func (l lendingServer) SetPassword(ctx context.Context, username string, password crypto.Secret) error {
	return l.workers.lend(pushed, func() error { return l.Server.SetPassword(ctx, username, password) })
}

func (l lendingServer) Proof(ctx context.Context, username string, password crypto.Secret) (HashCheck, error) {
	var check HashCheck
	err := l.workers.lend(pushed, func() (err error) {
		check, err = l.Server.Proof(ctx, username, password)
		return err
	})
	if err != nil || check == nil {
		return nil, err
	}
	return func() (proof Proof, err error) {
		l.compute(pushed, func() { proof, err = check() })
		return proof, err
	}, nil
}

// lendingEnvelope is an [Envelope] whose callers hold workers' slots. Sealing or
// opening costs a key derivation.
type lendingEnvelope struct {
	Envelope
	host
}

// Seal implements [Envelope].
func (l lendingEnvelope) Seal(to crypto.Binding, password crypto.Secret) (sealed crypto.SealedPassword, version crypto.KeyVersion, err error) {
	l.compute(looked, func() { sealed, version, err = l.Envelope.Seal(to, password) })
	return sealed, version, err
}

// Open implements [Envelope].
func (l lendingEnvelope) Open(version crypto.KeyVersion, from crypto.Binding, sealed crypto.SealedPassword) (password crypto.Secret, err error) {
	l.compute(looked, func() { password, err = l.Envelope.Open(version, from, sealed) })
	return password, err
}

// lendingRegistry is a [Registry] whose callers hold workers' slots.
type lendingRegistry struct {
	Registry
	host
}

// CanCreateUser implements [Registry].
func (l lendingRegistry) CanCreateUser(ctx context.Context, origin Origin, username string) error {
	return l.workers.lend(looked, func() error { return l.Registry.CanCreateUser(ctx, origin, username) })
}

// CreateUser implements [Registry].
func (l lendingRegistry) CreateUser(ctx context.Context, origin Origin, username string, password crypto.Secret) error {
	return l.workers.lend(pushed, func() error { return l.Registry.CreateUser(ctx, origin, username, password) })
}
