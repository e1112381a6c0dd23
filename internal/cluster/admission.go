package cluster

import (
	"context"
	"slices"
	"sync"
	"time"

	"mailu-rotator/rotator"
)

const (
	// showsUse is how long after its begin a batch shows how much of the host it uses: by
	// then its first key is being derived.
	showsUse = 250 * time.Millisecond
	// idlePause is the pause between looks at the cores.
	idlePause = 20 * time.Millisecond
	// answerTime is how long a batch that waits in NATS takes to arrive.
	answerTime = 100 * time.Millisecond
)

// admission decides whether a worker takes another batch. It takes one for each core that
// is idle, and leaves the rest to the other workers: a batch whose keys and hashes wait for
// a core is done sooner where one is idle.
type admission struct {
	clock rotator.Clock
	idle  func() int // cores of this host

	turn chan struct{} // held by the goroutine that waits for a core
	mu   sync.Mutex    // guards the field below
	new  []time.Time   // begins of the batches that do not show their use yet
}

func newAdmission(clock rotator.Clock, idle func() int) *admission {
	return &admission{clock: clock, idle: idle, turn: make(chan struct{}, 1)}
}

// try admits a batch, if there is a core for it.
func (a *admission) try() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.isFree() {
		return false
	}
	a.new = append(a.new, a.clock.Now())
	return true
}

func (a *admission) free() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.isFree()
}

// isFree reports whether a core is idle that no new batch is about to use. The caller
// holds the lock.
func (a *admission) isFree() bool {
	now := a.clock.Now()
	a.new = slices.DeleteFunc(a.new, func(begun time.Time) bool { return now.Sub(begun) >= showsUse })
	return a.idle() > len(a.new)
}

// wait returns when a batch would be admitted, to one caller after the other: to the next
// one when this one has called next, or had time for an answer. The caller must call next.
func (a *admission) wait(ctx context.Context) (next func(), err error) {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for !a.free() {
		if err := a.clock.Sleep(ctx, idlePause); err != nil {
			<-a.turn
			return nil, err
		}
	}
	pass := sync.OnceFunc(func() { <-a.turn })
	late := time.AfterFunc(answerTime, pass)
	return func() {
		late.Stop()
		pass()
	}, nil
}
