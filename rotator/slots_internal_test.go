package rotator

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
)

func TestWhatIsNearestToItsEndGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1)
		mustTake(t, s, unbegun)
		var order []string
		for _, w := range []struct {
			name string
			at   stage
		}{{"begin 1", unbegun}, {"prepare 1", looked}, {"verify 1", pushed}, {"begin 2", unbegun}, {"verify 2", pushed}} {
			go func() {
				mustTake(t, s, w.at)
				order = append(order, w.name) // guarded by the only slot
				s.release()
			}()
			synctest.Wait()
		}

		s.release()
		synctest.Wait()

		if want := []string{"verify 1", "verify 2", "prepare 1", "begin 1", "begin 2"}; !slices.Equal(order, want) {
			t.Errorf("got %v, want %v", order, want)
		}
	})
}

func TestWhoGivesUpWaitingLosesNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1)
		mustTake(t, s, unbegun)
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		go func() { gaveUp <- s.take(ctx, unbegun) }()
		synctest.Wait()

		cancel()
		err := <-gaveUp
		s.release()

		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		mustTake(t, s, unbegun) // otherwise the bubble deadlocks
	})
}

// The turn and the end of the wait coincide: whichever is seen first, the slot is
// either held or free.
func TestATurnThatComesTogetherWithTheEndIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1)
		for range 100 {
			mustTake(t, s, unbegun)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				if s.take(ctx, unbegun) == nil {
					s.release()
				}
			}()
			synctest.Wait()
			cancel()
			s.release()
			<-done
		}
		if s.free != 1 {
			t.Errorf("%d slots are free, want 1", s.free)
		}
	})
}

func TestALentSlotIsTakenBackWhateverTheCallCameTo(t *testing.T) {
	s := newSlots(1)
	mustTake(t, s, unbegun)
	lost := errors.New("lost")

	err := s.lend(pushed, func() error {
		if s.free != 1 {
			t.Errorf("%d slots are free during the call, want 1", s.free)
		}
		return lost
	})

	if !errors.Is(err, lost) || s.free != 0 {
		t.Errorf("got %v, %d free", err, s.free)
	}
}

func mustTake(t *testing.T, s *slots, at stage) {
	t.Helper()
	if err := s.take(context.Background(), at); err != nil {
		t.Fatal(err)
	}
}
