package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// memoryBound is the limit for a scan of a million tenants, in MB.
const memoryBound = 400

// peak is the maximum memory of a sweep.
type peak struct {
	Tenants   int     `json:"tenants"`
	MB        float64 `json:"mb"`
	Seconds   float64 `json:"seconds"`
	Simulated bool    `json:"simulated"` // Vault
}

// memory measures the peak of the daemon's first sweep, with nothing due, over fleets
// up to a million: on a real Vault up to its limit, on a simulated one all sizes.
func (b *bench) memory(ctx context.Context) error {
	for _, n := range b.size.Real {
		f := &fleet{prefix: fmt.Sprintf("scan-%d", n), tenants: n, age: young, mailus: anOrigin}
		if err := b.prepare(ctx, f); err != nil {
			return err
		}
		if err := b.peakOf(ctx, f); err != nil {
			return err
		}
	}
	for _, n := range b.size.Simulated {
		f := &fleet{tenants: n, age: young, mailus: anOrigin}
		vault, err := b.simulate(ctx, f)
		if err != nil {
			return err
		}
		err = b.peakOf(ctx, f)
		vault.kill()
		if err != nil {
			return err
		}
	}
	least, most := b.found.Memory[len(b.size.Real)], b.found.Memory[len(b.found.Memory)-1]
	r := row{
		Key: "memory", What: fmt.Sprintf("peak memory of a scan, %s tenants", count(most.Tenants)), Against: "a simulated Vault", Unit: "MB",
		Tolerance: 0.15, Tenants: most.Tenants,
		Note: fmt.Sprintf("%.1f MB with %s; a tenant more costs %.0f bytes, its name in the list among them", least.MB, count(least.Tenants),
			(most.MB-least.MB)*mb/float64(most.Tenants-least.Tenants)),
	}
	b.add(r.bounded(most.MB, memoryBound))
	return b.reported(ctx)
}

// reported measures the peak of emergency runs. They report on every tenant and so keep
// every record, which a daemon's sweep does not.
func (b *bench) reported(ctx context.Context) error {
	if len(b.size.Reported) == 0 {
		return nil
	}
	mailu, origins, err := b.startMailus(ctx, mailuTask{Servers: b.size.Servers, Users: slices.Max(b.size.Reported)})
	if err != nil {
		return err
	}
	defer mailu.kill()
	for _, n := range b.size.Reported {
		f := &fleet{prefix: fmt.Sprintf("reported-%d", n), tenants: n, age: old, mailus: origins, verify: "none"}
		if err := b.prepare(ctx, f); err != nil {
			return err
		}
		s, err := b.runNow(ctx, f)
		if err != nil {
			return err
		}
		if s.peak == 0 {
			return errors.New("the program was gone before its memory could be read")
		}
		b.found.Reported = append(b.found.Reported, peak{Tenants: n, MB: s.peak, Seconds: s.took.Seconds()})
		b.progress(fmt.Sprintf("  %s tenants, an emergency run: %.1f MB, %.3g s", count(n), s.peak, s.took.Seconds()))
	}
	return nil
}

func (b *bench) peakOf(ctx context.Context, f *fleet) error {
	s, err := b.scanOnce(ctx, f)
	if err != nil {
		return err
	}
	p := peak{Tenants: f.tenants, MB: s.peak, Seconds: s.took.Seconds(), Simulated: f.vault != ""}
	b.found.Memory = append(b.found.Memory, p)
	b.progress(fmt.Sprintf("  %s tenants: %.1f MB, %.3g s", count(p.Tenants), p.MB, p.Seconds))
	return nil
}
