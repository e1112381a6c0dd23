package main

import (
	"context"
	"fmt"
)

// anOrigin is a Mailu server that receives no request.
var anOrigin = []string{"http://127.0.0.1:9"}

// scan measures a daemon's sweep with nothing due against a bare client with the same
// list and reads.
func (b *bench) scan(ctx context.Context) error {
	f := &fleet{prefix: fmt.Sprintf("scan-%d", b.size.Scan), tenants: b.size.Scan, age: young, mailus: anOrigin, apart: true}
	if err := b.prepare(ctx, f); err != nil {
		return err
	}
	var program, bare, vault series // microseconds of processor time per tenant
	taken, err := b.interleave(ctx,
		func(ctx context.Context) (float64, error) {
			before := cpuOf(b.vault.PID())
			s, err := b.scanOnce(ctx, f)
			program = append(program, s.cpuEach(f.tenants))
			vault = append(vault, swept{cpu: cpuOf(b.vault.PID()) - before}.cpuEach(f.tenants))
			return s.perSecond(f.tenants), err
		},
		func(ctx context.Context) (float64, error) {
			s, err := b.baselineOnce(ctx, "scan", f)
			bare = append(bare, s.cpuEach(f.tenants))
			return s.perSecond(f.tenants), err
		})
	if err != nil {
		return err
	}
	b.add(row{
		Key: "scan", What: fmt.Sprintf("scan: list and read %s tenants, nothing due", count(f.tenants)),
		Against: "a bare HTTP client, the same reads, 16 at a time", Unit: "tenants/s",
		Target: 0.95, Tolerance: 0.15, Tenants: f.tenants,
		Note: fmt.Sprintf("a tenant costs the program %.0f µs of processor time, the bare client %.0f µs, and Vault %.0f µs",
			program.median(), bare.median(), vault.median()),
	}.compared(taken[0], taken[1], ratios(taken[0], taken[1])))
	return nil
}
