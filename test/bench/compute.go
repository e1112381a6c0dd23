package main

import (
	"context"
	"encoding/json"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"

	"mailu-rotator/crypto"
)

// costs are the unavoidable costs. Processor time is what one core needs while all
// cores are busy with it.
type costs struct {
	Derivation time.Duration `json:"derivation"` // of a key: 100,000 rounds of PBKDF2
	Bcrypt     time.Duration `json:"bcrypt"`     // of a hash as Mailu stores it, 12 rounds: the cost of verify
	Vault      float64       `json:"vault"`      // reads with two writes each that it handles per second
}

// playCompute measures the unavoidable computations.
func playCompute(_ context.Context, text []byte) error {
	var length time.Duration
	if err := json.Unmarshal(text, &length); err != nil {
		return err
	}
	var c costs
	keys, err := crypto.NewKeyring(map[crypto.KeyVersion][]byte{1: make([]byte, crypto.KeySize)})
	if err != nil {
		return err
	}
	c.Derivation = everywhere(length, func() error {
		_, _, err := keys.Seal(crypto.Binding{TenantID: tenantID(0), LastRotated: "2026-01-02T03:04:05.678Z"}, crypto.SecretFromString("a password"))
		return err
	})
	c.Bcrypt = everywhere(length, func() error {
		_, err := bcrypt.GenerateFromPassword([]byte("a password's HMAC in base64, 44 characters.."), 12)
		return err
	})
	return tell("computed", c)
}

// everywhere returns the time of one call while every core makes them.
func everywhere(length time.Duration, do func() error) time.Duration {
	var done atomic.Int64
	var group sync.WaitGroup
	begun := time.Now()
	for range runtime.NumCPU() {
		group.Go(func() {
			for time.Since(begun) < length || done.Load() == 0 {
				if do() == nil {
					done.Add(1)
				}
			}
		})
	}
	group.Wait()
	return time.Since(begun) * time.Duration(runtime.NumCPU()) / time.Duration(done.Load())
}

// compute measures the costs in a separate process.
func (b *bench) compute(ctx context.Context) (c costs, err error) {
	p, err := b.startRole("compute", b.size.Compute)
	if err != nil {
		return c, err
	}
	defer p.kill()
	e, _, err := p.await(ctx, 0, named("computed"))
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(e.Of, &c)
}
