package rotator

import (
	"context"
	"slices"
	"sync"

	"mailu-rotator/crypto"
)

// slots bound how many tenants this host works on at a time: opens and seals,
// talks to the store, checks hashes. A tenant that waits for its Mailu server
// has lent its slot to others, so that slow servers, however many, take nothing
// from the rest; what they may be sent is bounded by their lanes.
//
// Of those that wait for a slot the one nearest to its end goes first, and of
// these the one that has waited longest. So nothing is begun while something
// that was begun can go on, and the moment between push and commit stays short.
type slots struct {
	mu      sync.Mutex
	free    int
	waiting [pushed + 1][]chan struct{} // each is closed when its turn has come
}

// stage is how far a tenant has come.
type stage int

const (
	unbegun stage = iota
	looked        // Mailu knows the user; nothing is written yet
	pushed        // Mailu may have the new password, or was asked what it holds
)

func newSlots(n int) *slots { return &slots{free: n} }

// take waits for a slot. Where ctx ends first its error is returned, and no slot
// is held.
func (s *slots) take(ctx context.Context, at stage) error {
	turn := s.queue(at)
	if turn == nil {
		return nil
	}
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	if !s.leave(turn, at) {
		s.release() // the turn came at the same moment
	}
	return ctx.Err()
}

// queue takes a slot at once, or returns what to wait for.
func (s *slots) queue(at stage) (turn chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free > 0 {
		s.free--
		return nil
	}
	turn = make(chan struct{})
	s.waiting[at] = append(s.waiting[at], turn)
	return turn
}

// leave is false where the turn has come already.
func (s *slots) leave(turn chan struct{}, at stage) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.waiting[at], turn)
	if i >= 0 {
		s.waiting[at] = slices.Delete(s.waiting[at], i, i+1)
	}
	return i >= 0
}

func (s *slots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at := pushed; at >= unbegun; at-- {
		if len(s.waiting[at]) > 0 {
			close(s.waiting[at][0])
			s.waiting[at] = s.waiting[at][1:]
			return
		}
	}
	s.free++
}

// lend runs wait without the caller's slot and takes one again, whatever has
// ended meanwhile: the caller gives it back as ever. Those who hold one have
// deadlines, so that a turn always comes.
func (s *slots) lend(at stage, wait func() error) error {
	s.release()
	err := wait()
	_ = s.take(context.Background(), at) // fails with its context only
	return err
}

// lending is a [Mailu] whose callers hold slots.
type lending struct {
	Mailu
	slots *slots
}

// Server implements [Mailu].
func (l lending) Server(origin Origin) (Server, error) {
	server, err := l.Mailu.Server(origin)
	if err != nil {
		return nil, err
	}
	return lendingServer{Server: server, slots: l.slots}, nil
}

type lendingServer struct {
	Server
	slots *slots
}

func (l lendingServer) Knows(ctx context.Context, username string) error {
	return l.slots.lend(looked, func() error { return l.Server.Knows(ctx, username) })
}

func (l lendingServer) SetPassword(ctx context.Context, username string, password crypto.Secret) error {
	return l.slots.lend(pushed, func() error { return l.Server.SetPassword(ctx, username, password) })
}

func (l lendingServer) Proof(ctx context.Context, username string, password crypto.Secret) (check HashCheck, err error) {
	err = l.slots.lend(pushed, func() error {
		check, err = l.Server.Proof(ctx, username, password)
		return err
	})
	return check, err
}

// lendingRegistry is a [Registry] whose callers hold slots.
type lendingRegistry struct {
	Registry
	slots *slots
}

// CanCreateUser implements [Registry].
func (l lendingRegistry) CanCreateUser(ctx context.Context, origin Origin, username string) error {
	return l.slots.lend(looked, func() error { return l.Registry.CanCreateUser(ctx, origin, username) })
}

// CreateUser implements [Registry].
func (l lendingRegistry) CreateUser(ctx context.Context, origin Origin, username string, password crypto.Secret) error {
	return l.slots.lend(pushed, func() error { return l.Registry.CreateUser(ctx, origin, username, password) })
}
