package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// outages befall Vault as a whole, one after the other.
func (s *stage) outages(ctx context.Context, rng *rand.Rand) error {
	all := []struct {
		name string
		do   func(context.Context, *rand.Rand) error
	}{
		{"vault: killed and restarted", s.restartVault},
		{"vault: sealed and unsealed", s.sealVault},
		{"vault: all tokens revoked", s.revokeTokens},
	}
	for {
		for _, i := range rng.Perm(len(all)) {
			pause(ctx, between(rng, 3*time.Second, 9*time.Second))
			if ctx.Err() != nil {
				return nil
			}
			// What is begun is ended, whatever becomes of ctx.
			if err := all[i].do(context.WithoutCancel(ctx), rng); err != nil {
				return fmt.Errorf("%s: %w", all[i].name, err)
			}
			s.tally.add("faults", all[i].name)
		}
	}
}

func (s *stage) restartVault(ctx context.Context, rng *rand.Rand) error {
	s.vault.Kill()
	pause(ctx, between(rng, 0, time.Second))
	return s.vault.Restart(ctx)
}

func (s *stage) sealVault(ctx context.Context, rng *rand.Rand) error {
	if err := s.vault.Seal(ctx); err != nil {
		return err
	}
	pause(ctx, between(rng, 0, 2*time.Second))
	return s.vault.Unseal(ctx)
}

func (s *stage) revokeTokens(ctx context.Context, _ *rand.Rand) error {
	return s.root.Sys().RevokePrefixWithContext(ctx, "auth/approle/login")
}
