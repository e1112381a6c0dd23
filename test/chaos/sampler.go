package main

import (
	"context"
	"fmt"
	"time"
)

// sampler checks, during the run, whether Mailu accepts a password that Vault holds.
// The audit does so afterwards for every moment; the sampler observes it directly.
func (s *stage) sampler(ctx context.Context) (findings []finding) {
	guilty := map[*tenant]bool{}
	for i := 0; ctx.Err() == nil; i++ {
		pause(ctx, 5*time.Millisecond)
		t := s.tenants[i%len(s.tenants)]
		reachable, err := s.reachable(ctx, t)
		switch {
		case err != nil: // Vault is down
		case reachable:
			s.tally.add("samples", "reachable")
		case t.excused():
			s.tally.add("samples", "after a stray push")
		case !guilty[t]:
			guilty[t] = true
			findings = append(findings, finding{tenant: t.id, at: time.Now(), what: "locked out, seen from outside: mailu accepts neither the current nor the pending password"})
		}
	}
	return findings
}

// reachable reads again if Vault may have been a step ahead of the first read.
func (s *stage) reachable(ctx context.Context, t *tenant) (bool, error) {
	for range 3 {
		rec, err := s.eyes.read(ctx, t.id, 0)
		if err != nil {
			return false, fmt.Errorf("sample %s: %w", t.id, err)
		}
		if t.mailu.Accepts(t.user, rec.current) || rec.pending != "" && t.mailu.Accepts(t.user, rec.pending) {
			return true, nil
		}
	}
	return false, nil
}
