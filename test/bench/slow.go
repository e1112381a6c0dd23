package main

import (
	"context"
	"fmt"
	"slices"
)

// slowTenants is the number of a slow server's tenants: its concurrency limit, and some
// that wait.
const slowTenants = 8

// manySlow is more slow servers than the program has workers.
const manySlow = 20

// slow measures how much servers that take a hundred times as long delay the tenants of
// the others. Without a canary each slow server has its limit of requests in flight
// from the first moment.
func (b *bench) slow(ctx context.Context) error {
	mailu, origins, err := b.startMailus(ctx, mailuTask{
		Servers: b.size.Waiting, Hashing: hashing, Users: b.size.Slow, Slow: manySlow,
	})
	if err != nil {
		return err
	}
	defer mailu.kill()
	healthy, slow := origins[:b.size.Waiting], origins[b.size.Waiting:]
	runs := 0
	beside := func(slow []string) measure {
		return func(ctx context.Context) (float64, error) {
			runs++ // each run has its own fleet, since the slow tenants stay half-finished
			return b.besideSlow(ctx, fmt.Sprintf("slow-%d", runs), healthy, slow)
		}
	}
	taken, err := b.interleave(ctx, beside(slow[:1]), beside(nil), beside(slow))
	if err != nil {
		return err
	}
	r := row{
		Key: "slow", What: fmt.Sprintf("one slow server (100×) beside %d healthy ones: their %s tenants", len(healthy), count(b.size.Slow)),
		Against: "the same run without it", Unit: "tenants/s",
		Target: 0.95, Tolerance: 0.15, Tenants: b.size.Slow, Servers: len(healthy),
	}
	b.add(r.compared(taken[0], taken[1], ratios(taken[0], taken[1])))
	r.Key, r.What, r.Target = "slow-many", fmt.Sprintf("%d slow ones: the same tenants", manySlow), 0
	r.Note = fmt.Sprintf("%d more records are read and %d more keys derived on the same processor, which no bound can give back",
		manySlow*slowTenants, manySlow*3*maxConcurrent)
	b.add(r.compared(taken[2], taken[1], ratios(taken[2], taken[1])))
	return nil
}

// besideSlow runs over healthy and slow servers, until the last tenant of the healthy
// ones is done, and returns the healthy tenants done per second.
func (b *bench) besideSlow(ctx context.Context, prefix string, healthy, slow []string) (float64, error) {
	f := &fleet{prefix: prefix, tenants: b.size.Slow, age: old, mailus: healthy, slow: slow, noCanary: true}
	if err := b.prepare(ctx, f); err != nil {
		return 0, err
	}
	p, err := b.rotator(f, "--run-now")
	if err != nil {
		return 0, err
	}
	defer p.kill() // the slow ones would take minutes
	begun, next, err := p.await(ctx, 0, named("sweep started"))
	if err != nil {
		return 0, err
	}
	last := begun
	for range f.tenants {
		last, next, err = p.await(ctx, next, func(e event) bool { return e.Msg == committed && slices.Contains(healthy, e.Origin) })
		if err != nil {
			return 0, err
		}
	}
	return float64(f.tenants) / last.At.Sub(begun.At).Seconds(), nil
}
