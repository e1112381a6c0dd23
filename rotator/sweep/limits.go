package sweep

import (
	"context"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// processor limits what a run computes at a time to the processor's cores: more would
// not finish sooner. Passwords that Mailu may already have come first, so that the time
// between push and commit stays short: only as many seals and opens as there are cores
// wait for a core at a time, so a check of a hash waits for no more than those.
//
// It is the only limit here. The other resources limit themselves: the store its
// concurrent requests, a Mailu server its requests and its push slots.
type processor struct{ cores, keys chan struct{} }

func newProcessor(cores int) processor {
	return processor{cores: make(chan struct{}, cores), keys: make(chan struct{}, cores)}
}

// use runs f on a core.
func (p processor) use(f func()) {
	p.cores <- struct{}{}
	defer func() { <-p.cores }()
	f()
}

// limitedEnvelope is an [Envelope] whose key derivations use the processor.
type limitedEnvelope struct {
	rotator.Envelope
	processor
}

func (l limitedEnvelope) derive(f func()) {
	l.keys <- struct{}{}
	defer func() { <-l.keys }()
	l.use(f)
}

// Seal implements [Envelope].
func (l limitedEnvelope) Seal(to crypto.Binding, password crypto.Secret) (sealed crypto.SealedPassword, version crypto.KeyVersion, err error) {
	l.derive(func() { sealed, version, err = l.Envelope.Seal(to, password) })
	return sealed, version, err
}

// Open implements [Envelope].
func (l limitedEnvelope) Open(version crypto.KeyVersion, from crypto.Binding, sealed crypto.SealedPassword) (password crypto.Secret, err error) {
	l.derive(func() { password, err = l.Envelope.Open(version, from, sealed) })
	return password, err
}

// limitedMailu is a [Mailu] whose hashes are checked on the processor.
type limitedMailu struct {
	rotator.Mailu
	processor
}

// Server implements [Mailu].
func (l limitedMailu) Server(origin rotator.Origin) (rotator.Server, error) {
	server, err := l.Mailu.Server(origin)
	if err != nil {
		return nil, err
	}
	return limitedServer{Server: server, processor: l.processor}, nil
}

type limitedServer struct {
	rotator.Server
	processor
}

// Verify implements [Server].
func (l limitedServer) Verify(ctx context.Context, username string, password crypto.Secret) (rotator.HashCheck, error) {
	check, err := l.Server.Verify(ctx, username, password)
	if err != nil || check == nil {
		return nil, err
	}
	return func() (match rotator.Verification, err error) {
		l.use(func() { match, err = check() })
		return match, err
	}, nil
}
