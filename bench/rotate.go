package main

import (
	"context"
	"fmt"
	"time"
)

// rotations measures an emergency run at its limits: Mailu takes no time. What no
// program can spare is a read and two writes in Vault and a key derivation.
func (b *bench) rotations(ctx context.Context) error {
	mailu, origins, err := b.startMailus(ctx, mailuTask{Servers: b.size.Servers, Users: b.size.Rotate})
	if err != nil {
		return err
	}
	defer mailu.kill()
	f := &fleet{prefix: "rotate", tenants: b.size.Rotate, age: old, mailus: origins, verify: "none", apart: true}
	if err := b.prepare(ctx, f); err != nil {
		return err
	}
	var program, vault, others series // microseconds of processor time a rotation
	taken, err := b.interleave(ctx,
		func(ctx context.Context) (float64, error) {
			before := b.cpu(mailu)
			s, err := b.runNow(ctx, f)
			after := b.cpu(mailu)
			program = append(program, s.cpuEach(f.tenants))
			vault = append(vault, swept{cpu: after[0] - before[0]}.cpuEach(f.tenants))
			others = append(others, swept{cpu: after[1] - before[1]}.cpuEach(f.tenants))
			return s.perSecond(f.tenants), err
		},
		func(ctx context.Context) (float64, error) {
			s, err := b.bareOnce(ctx, "rotate", f)
			return s.perSecond(f.tenants), err
		},
		func(ctx context.Context) (float64, error) {
			c, err := b.compute(ctx)
			b.found.Costs = c
			return float64(ownCores()) / c.Derivation.Seconds(), err
		})
	if err != nil {
		return err
	}
	ceilings := make(series, len(taken[1]))
	for i := range ceilings {
		ceilings[i] = min(taken[1][i], taken[2][i])
	}
	b.found.Costs.Vault = taken[1].median()
	b.add(row{
		Key: "rotations", What: fmt.Sprintf("rotations/s, Mailu cost zero, verify none, %s tenants", count(f.tenants)),
		Against: fmt.Sprintf("min(Vault's ceiling for 1 read + 2 writes: %s/s, cores ÷ key derivation: %s/s)",
			figure(b.found.Costs.Vault), figure(taken[2].median())),
		Unit: "/s", Target: 0.85, Tolerance: 0.15, Tenants: f.tenants, Servers: len(origins),
		Note: fmt.Sprintf("a rotation costs the program %.1f ms of processor time, Vault %.1f ms and the Mailu servers %.1f ms; "+
			"a key derivation takes %.1f ms while every core derives",
			program.median()/1000, vault.median()/1000, others.median()/1000, b.found.Costs.Derivation.Seconds()*1000),
	}.compared(taken[0], ceilings, ratios(taken[0], ceilings)))
	return nil
}

// cpu is what Vault and another process have used so far.
func (b *bench) cpu(other *process) [2]time.Duration {
	return [2]time.Duration{cpuOf(b.vault.PID()), cpuOf(other.cmd.Process.Pid)}
}

// emergency measures a run over servers that take the observed time for each
// password. The bound is theirs: so many at a time, each so long.
func (b *bench) emergency(ctx context.Context) error {
	mailu, origins, err := b.startMailus(ctx, mailuTask{Servers: b.size.Waiting, Hashing: hashing, Users: b.size.Emergency})
	if err != nil {
		return err
	}
	defer mailu.kill()
	f := &fleet{prefix: "emergency", tenants: b.size.Emergency, age: old, mailus: origins}
	if err := b.prepare(ctx, f); err != nil {
		return err
	}
	taken, err := b.interleave(ctx, func(ctx context.Context) (float64, error) {
		s, err := b.runNow(ctx, f)
		return s.took.Seconds(), err
	})
	if err != nil {
		return err
	}
	least := float64(f.tenants) * hashing.Seconds() / float64(len(origins)*maxConcurrent)
	var ratios, bound series
	for _, took := range taken[0] {
		ratios, bound = append(ratios, least/took), append(bound, least)
	}
	b.add(row{
		Key: "emergency", What: fmt.Sprintf("emergency run, %s tenants on %d servers, %s for each password", count(f.tenants), len(origins), hashing),
		Against: fmt.Sprintf("N × cost ÷ (S × max_concurrent), %d × %s ÷ (%d × %d)", f.tenants, hashing, len(origins), maxConcurrent),
		Unit:    "s", Target: 0.95, Tolerance: 0.15, Tenants: f.tenants, Servers: len(origins),
	}.compared(taken[0], bound, ratios))
	return nil
}
