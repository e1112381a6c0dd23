package rotator

import (
	"context"
	"slices"
	"sync"
)

// slots limit concurrent work of one kind: the workers' slots how many tenants talk to
// the store, the cores' slots how many derive a key or check a hash. A tenant that
// waits for its Mailu server, or for a core, has lent its worker's slot to others. So
// slow servers, however many, take nothing from the rest, and neither reading nor
// computing delays the other; the lanes limit what is started at all.
//
// Among the waiters for a slot the one nearest to its end goes first, and among
// equals the one that has waited longest. So nothing is started while something in
// progress can continue, and the time between push and commit stays short.
type slots struct {
	mu      sync.Mutex
	free    int
	waiting [pushed + 1][]chan struct{} // each is closed when its turn has come
}

// stage is the progress of a tenant.
type stage int

const (
	unbegun stage = iota
	looked        // Mailu knows the user; nothing is written yet
	pushed        // Mailu may have the new password, or was asked what it holds
)

func newSlots(n int) *slots { return &slots{free: n} }

// take waits for a slot. If ctx ends first it returns the error, and no slot is held.
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

// queue takes a free slot, or returns a channel to wait on.
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

// leave returns false if the turn has already come.
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

// lend calls wait without the caller's slot and then takes one again, even after the
// context has ended: the caller must release it as usual. Holders of slots have
// deadlines, so the wait for a slot ends.
func (s *slots) lend(at stage, wait func() error) error {
	s.release()
	err := wait()
	_ = s.take(context.Background(), at) // fails only with its context
	return err
}
