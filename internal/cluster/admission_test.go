package cluster_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
)

// Each server has a batch, and both workers ask for both.
func TestBusyWorkerLeavesBatchesToOthers(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 5)
	f.add(serverB, 20, 5)
	f.config.AckWait = time.Minute // what was given back comes at once, not after that
	var both sync.WaitGroup        // servers are being worked on
	both.Add(2)
	f.during(func(c rotatortest.Call) rotatortest.Fault {
		if c.Op == rotatortest.OpSetPassword && (c.User == userOf(0) || c.User == userOf(20)) {
			both.Done()
			both.Wait()
		}
		return rotatortest.Fault{}
	})
	one, two := f.worker("one", serverA, serverB), f.worker("two", serverA, serverB)
	one.oneCore.Store(true)
	two.oneCore.Store(true)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	report := f.run(ctx, "all-1")

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 10})
	if len(one.batches()) != 1 || len(two.batches()) != 1 {
		t.Errorf("the workers began batches of %v and %v, want one each", one.batches(), two.batches())
	}
}

func TestServersOfABusyWorkerTakeTurns(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 10)
	f.add(serverB, 20, 10)
	one := f.worker("one", serverA, serverB)
	one.oneCore.Store(true)

	report := f.run(t.Context(), "all-1")

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 20})
	f.wantOncePushed(20)
	if begun := one.batches(); begun[0] == begun[1] {
		t.Errorf("the batches were of %v: one server waited for all of the other", begun)
	}
	if sent := f.deliveries(); sent > 10 {
		t.Errorf("4 batches were sent %d times: a busy worker asks for what it does not take", sent)
	}
}

// deliveries is how many messages with batches NATS has sent to workers.
func (f *fleet) deliveries() (n uint64) {
	f.t.Helper()
	for consumer := range f.stream("MR_WORK").ListConsumers(f.t.Context()).Info() {
		n += consumer.Delivered.Consumer
	}
	return n
}
