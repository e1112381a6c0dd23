package rotator

import (
	"context"
	"sync"
)

// turns limit the tenants of a server that push at a time to its concurrent requests; a
// turn lasts until Mailu has shown what it holds. Otherwise the verification would
// queue behind the pushes of others, and every tenant would spend a third of a second,
// or several, with a password in Mailu that is not yet current in Vault.
type turns struct {
	workers *slots

	mu sync.Mutex // guards of
	of map[Origin]*slots
}

func newTurns(workers *slots) *turns { return &turns{workers: workers, of: map[Origin]*slots{}} }

// take waits for one of the origin's n turns. The caller holds a worker's slot, which
// is lent during the wait. end releases the turn.
func (t *turns) take(ctx context.Context, origin Origin, n int) (end func(), err error) {
	all := t.at(origin, n)
	// The holder of a turn blocks others, so it continues first.
	if err := t.workers.lend(pushed, func() error { return all.take(ctx, unbegun) }); err != nil {
		return nil, err
	}
	return all.release, nil
}

func (t *turns) at(origin Origin, n int) *slots {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of[origin] == nil {
		t.of[origin] = newSlots(n)
	}
	return t.of[origin]
}
