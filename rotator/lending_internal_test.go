package rotator

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailu-rotator/crypto"
)

// slowEnvelope takes a second of a core for each call.
type slowEnvelope struct{}

func (slowEnvelope) Seal(crypto.Binding, crypto.Secret) (crypto.SealedPassword, crypto.KeyVersion, error) {
	time.Sleep(time.Second)
	return "sealed", 1, nil
}

func (slowEnvelope) Open(crypto.KeyVersion, crypto.Binding, crypto.SealedPassword) (crypto.Secret, error) {
	time.Sleep(time.Second)
	return crypto.Secret{}, nil
}

// idleServer answers immediately, and its hashes take a second of a core to check.
type idleServer struct{ Server }

func (idleServer) Proof(context.Context, string, crypto.Secret) (HashCheck, error) {
	return func() (Proof, error) {
		time.Sleep(time.Second)
		return Held, nil
	}, nil
}

func TestCoresBoundWhatIsComputedAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := host{workers: newSlots(8), cores: newSlots(2)}
		began := time.Now()
		done := make(chan time.Duration)
		for range 6 {
			go func() {
				mustTake(t, h.workers, unbegun)
				defer h.workers.release()
				_, _, _ = lendingEnvelope{slowEnvelope{}, h}.Seal(crypto.Binding{}, crypto.Secret{})
				done <- time.Since(began)
			}()
		}

		var took [6]time.Duration
		for i := range took {
			took[i] = <-done
		}

		if want := [6]time.Duration{1e9, 1e9, 2e9, 2e9, 3e9, 3e9}; took != want {
			t.Errorf("six derivations on two cores ended after %v", took)
		}
	})
}

// Six tenants wait for the only core. A seventh, which only needs the store, finds the
// only worker's slot free.
func TestWhoWaitsForACoreHoldsNoWorkersSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := host{workers: newSlots(1), cores: newSlots(1)}
		var all sync.WaitGroup
		defer all.Wait()
		for range 6 {
			all.Go(func() {
				mustTake(t, h.workers, unbegun)
				defer h.workers.release()
				_, _ = lendingEnvelope{slowEnvelope{}, h}.Open(1, crypto.Binding{}, "")
			})
		}
		synctest.Wait()
		began := time.Now()

		mustTake(t, h.workers, unbegun)
		h.workers.release()

		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited %s", waited)
		}
	})
}

// A commit waits for the check of the hash: that check goes before unpushed tenants.
func TestHashesAreCheckedBeforeKeysAreDerived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := host{workers: newSlots(8), cores: newSlots(1)}
		began := time.Now()
		var all sync.WaitGroup
		defer all.Wait()
		for range 3 {
			all.Go(func() {
				mustTake(t, h.workers, unbegun)
				defer h.workers.release()
				_, _, _ = lendingEnvelope{slowEnvelope{}, h}.Seal(crypto.Binding{}, crypto.Secret{})
			})
		}
		synctest.Wait() // one is computing, two wait
		mustTake(t, h.workers, unbegun)
		defer h.workers.release()
		check, err := lendingServer{idleServer{}, h}.Proof(t.Context(), "", crypto.Secret{})
		if err != nil {
			t.Fatal(err)
		}

		proof, err := check()

		if took := time.Since(began); err != nil || proof != Held || took != 2*time.Second {
			t.Errorf("got %v, %v after %s, want it after the one under way", proof, err, took)
		}
	})
}
