package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// outage is a fault of Vault as a whole.
type outage struct {
	name string
	do   func(*stage, context.Context, *rand.Rand) error
}

func (s *stage) outages() []outage {
	switch {
	case s.cluster:
		return natsOutages()
	case s.raft:
		return nodeOutages()
	}
	return []outage{
		{"vault: killed and restarted", (*stage).restartVault},
		{"vault: sealed and unsealed", (*stage).sealVault},
		{"vault: all tokens revoked", (*stage).revokeTokens},
	}
}

// causeOutages causes one outage after another until ctx ends.
func (s *stage) causeOutages(ctx context.Context, rng *rand.Rand) error {
	all := s.outages()
	for {
		for _, i := range rng.Perm(len(all)) {
			s.breathe(ctx, rng, s.lull())
			s.awaitCommits(ctx)
			if ctx.Err() != nil {
				return nil
			}
			// An outage that has begun must end, whatever happens to ctx.
			if err := all[i].do(s, context.WithoutCancel(ctx), rng); err != nil {
				return fmt.Errorf("%s: %w", all[i].name, err)
			}
			s.tally.add("faults", all[i].name)
		}
	}
}

// awaitCommits waits until the program has committed again: on a slow machine outages
// must not take all the time.
func (s *stage) awaitCommits(ctx context.Context) {
	done := s.tally.of("steps", string(commit))
	for late := time.Now().Add(20 * time.Second); ctx.Err() == nil && s.tally.of("steps", string(commit)) == done && time.Now().Before(late); {
		pause(ctx, 50*time.Millisecond)
	}
}

// lull is the longest pause between two outages, until everything has occurred.
func (s *stage) lull() time.Duration {
	if s.cluster || s.raft {
		return 2 * time.Second // they are long
	}
	return 6 * time.Second
}

// restoreVault ends an outage that was interrupted.
func (s *stage) restoreVault(ctx context.Context) error {
	if s.nodes == nil {
		return s.vault.Unseal(ctx)
	}
	return s.restoreNodes(ctx)
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
