package sweep

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
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
type idleServer struct{ rotator.Server }

func (idleServer) Verify(context.Context, string, crypto.Secret) (*rotator.HashCheck, error) {
	return &rotator.HashCheck{Check: func() (rotator.Verification, error) {
		time.Sleep(time.Second)
		return rotator.Match, nil
	}}, nil
}

func TestCoresBoundWhatIsComputedAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProcessor(2)
		began := time.Now()
		done := make(chan time.Duration)
		for range 6 {
			go func() {
				_, _, _ = limitedEnvelope{slowEnvelope{}, p}.Seal(crypto.Binding{}, crypto.Secret{})
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

// A commit waits for the check of the hash: that check goes before unpushed tenants.
func TestHashesAreCheckedBeforeKeysAreDerived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProcessor(1)
		began := time.Now()
		var all sync.WaitGroup
		defer all.Wait()
		for range 3 {
			all.Go(func() { _, _ = limitedEnvelope{slowEnvelope{}, p}.Open(1, crypto.Binding{}, "") })
		}
		synctest.Wait() // one is computing, two wait
		check, err := limitedServer{idleServer{}, p}.Verify(t.Context(), "", crypto.Secret{})
		if err != nil {
			t.Fatal(err)
		}

		match, err := check.Check()

		if took := time.Since(began); err != nil || match != rotator.Match || took != 2*time.Second {
			t.Errorf("got %v, %v after %s, want it after the one under way", match, err, took)
		}
	})
}

func TestIdleCoresAreThoseThatComputeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProcessor(2)
		var all sync.WaitGroup
		for n, want := range []int{2, 1, 0, 0} {
			synctest.Wait()
			if got := p.idle(); got != want {
				t.Errorf("%d cores are idle during %d derivations, want %d", got, n, want)
			}
			all.Go(func() { _, _, _ = limitedEnvelope{slowEnvelope{}, p}.Seal(crypto.Binding{}, crypto.Secret{}) })
		}
		all.Wait()
		if got := p.idle(); got != 2 {
			t.Errorf("%d cores are idle afterwards, want 2", got)
		}
	})
}
