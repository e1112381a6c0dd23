package main

import (
	"context"
	"fmt"
	"slices"
)

// point is one fleet size, and the cost of a sweep over it.
type point struct {
	Tenants  int     `json:"tenants"`
	Seconds  float64 `json:"seconds"`
	Requests int     `json:"requests"` // for the list and the records
}

// growth measures both kinds of sweep over fleets of growing size, once each, with
// Vault's audit log on as in production: it counts the requests.
func (b *bench) growth(ctx context.Context) error {
	most := max(slices.Max(b.size.GrowRotate), 1)
	mailu, origins, err := b.startMailus(ctx, mailuTask{Servers: b.size.Servers, Users: most})
	if err != nil {
		return err
	}
	defer mailu.kill()
	for _, n := range b.size.GrowScan {
		// Reuse the scan's fleet if it has this size.
		p, err := b.grow(ctx, &fleet{prefix: fmt.Sprintf("scan-%d", n), tenants: n, age: young, mailus: anOrigin}, b.scanOnce)
		if err != nil {
			return err
		}
		b.found.Growth.Scan = append(b.found.Growth.Scan, p)
	}
	for _, n := range b.size.GrowRotate {
		f := &fleet{prefix: fmt.Sprintf("grow-%d", n), tenants: n, age: old, mailus: origins, verify: "none"}
		p, err := b.grow(ctx, f, b.runNow)
		if err != nil {
			return err
		}
		b.found.Growth.Rotation = append(b.found.Growth.Rotation, p)
	}
	return nil
}

func (b *bench) grow(ctx context.Context, f *fleet, run func(context.Context, *fleet) (swept, error)) (p point, err error) {
	if err := b.prepare(ctx, f); err != nil {
		return p, err
	}
	var s swept
	counted, err := b.audited(ctx, f.prefix, func(ctx context.Context) (err error) {
		s, err = run(ctx, f)
		return err
	})
	p = point{Tenants: f.tenants, Seconds: s.took.Seconds(), Requests: counted.records + counted.lists}
	b.progress(fmt.Sprintf("  %s: %.3g s, %d requests", f.prefix, p.Seconds, p.Requests))
	return p, err
}
