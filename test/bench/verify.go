package main

import (
	"context"
	"fmt"
)

// verification measures a verification after the run that rotated the fleet, which left a
// proof in each record, against one that checks every hash. The Mailu servers' hashes
// have a real Mailu's 12 rounds.
func (b *bench) verification(ctx context.Context) error {
	mailu, origins, err := b.startMailus(ctx, mailuTask{Servers: b.size.Waiting, Users: b.size.Verify, Rounds: 12})
	if err != nil {
		return err
	}
	defer mailu.kill()
	f := &fleet{prefix: "verify", tenants: b.size.Verify, age: old, mailus: origins}
	if err := b.prepare(ctx, f); err != nil {
		return err
	}
	if _, err := b.runNow(ctx, f); err != nil {
		return err
	}
	verifying := func(args ...string) measure {
		return func(ctx context.Context) (float64, error) { return b.verifiedPerSecond(ctx, f, args...) }
	}
	taken, err := b.interleave(ctx, verifying(), verifying("--full"))
	if err != nil {
		return err
	}
	b.add(row{
		Key: "verification", What: fmt.Sprintf("verification by proofs, %s tenants on %d servers, 12 rounds", count(f.tenants), len(origins)),
		Against: "verify --full, which checks every hash", Unit: "tenants/s", Target: 20, Tolerance: 0.3, Tenants: f.tenants, Servers: len(origins),
		Note: "a fiftieth of the fleet is checked in full all the same",
	}.compared(taken[0], taken[1], ratios(taken[0], taken[1])))
	return nil
}

// verifiedPerSecond runs a verification, which must find nothing.
func (b *bench) verifiedPerSecond(ctx context.Context, f *fleet, args ...string) (float64, error) {
	p, err := b.rotator(f, append([]string{"verify"}, args...)...)
	if err != nil {
		return 0, err
	}
	defer p.kill()
	begun, next, err := p.await(ctx, 0, named("verification started"))
	if err != nil {
		return 0, err
	}
	ended, _, err := p.await(ctx, next, named("verification finished"))
	if err != nil {
		return 0, err
	}
	if err := p.wait(ctx); err != nil { // its status is 2 if something was found
		return 0, err
	}
	return float64(f.tenants) / ended.At.Sub(begun.At).Seconds(), nil
}
