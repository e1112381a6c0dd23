package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// operator is a person at work on the records meanwhile, who by check-and-set
// changes a field that is not the program's, or has a password fall due: sealed
// anew, it is as old as the last_rotated that it is sealed for.
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
