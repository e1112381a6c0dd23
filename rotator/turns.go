package rotator

import (
	"context"
	"sync"
)

// turns let as many tenants of a server push at a time as it may be sent requests,
// each until Mailu has shown what it holds. Without them the question would queue
// behind the pushes of others, and every tenant would spend a third of a second,
// or several, with a password in Mailu that Vault does not yet call current.
type turns struct {
	workers *slots

	mu sync.Mutex // guards of
	of map[Origin]*slots
}

func newTurns(workers *slots) *turns { return &turns{workers: workers, of: map[Origin]*slots{}} }

// take waits for one of the origin's turns, of which there are n. The caller
// holds a worker's slot, which is lent meanwhile. end gives the turn back.
func (t *turns) take(ctx context.Context, origin Origin, n int) (end func(), err error) {
	all := t.at(origin, n)
	// Who has a turn keeps others from theirs, so it is the first to go on.
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
