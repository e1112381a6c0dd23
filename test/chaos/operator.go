package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// operator simulates a person who edits records during the run: by check-and-set it
// changes a field that is not the program's, or makes a password due by sealing it
// again for an older last_rotated.
func (s *stage) operator(ctx context.Context, rng *rand.Rand) {
	for n := 1; ctx.Err() == nil; n++ {
		pause(ctx, between(rng, 50*time.Millisecond, 500*time.Millisecond))
		t := s.tenants[rng.IntN(len(s.tenants))]
		rec, err := s.eyes.read(ctx, t.id, 0)
		if err != nil {
			continue // Vault is down
		}
		what := "edits"
		if rec.pending == "" && rec.current != unreadable && rng.IntN(3) > 0 {
			what = "passwords aged"
			if s.eyes.age(t.id, rec) != nil {
				continue
			}
		}
		mark := fmt.Sprintf("edit %d", n)
		rec.fields["operator"] = mark
		t.edited(mark, edit{onto: rec.version, others: others(rec.fields)})
		if s.eyes.write(ctx, t.id, rec.version, rec.fields) == nil {
			s.tally.add("operator", what)
		}
	}
}
