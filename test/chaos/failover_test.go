package main

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestNobodyIsLockedOutByAFailover is a short run on a Vault of three nodes. Which steps it
// reaches depends on the machine; `make chaos VAULT=raft` reaches all.
func TestNobodyIsLockedOutByAFailover(t *testing.T) {
	o := options{raft: true, duration: time.Minute, seed: 1, tenants: 20}

	got, err := run(t.Context(), o, t.Output())

	if err != nil {
		t.Fatal(err)
	}
	if !got.good() {
		t.Errorf("locked out %d, lost %d, pending %d, findings %d", got.lockedOut, got.lost, got.pending, len(got.findings))
	}
	if got.tally.of("faults", leaderLost) == 0 {
		t.Error("the leader was never lost at a step")
	}
}

func TestAFailoverThatLacksIsTriedNext(t *testing.T) {
	for _, lacking := range failovers() {
		s := triedBut(func(f failover) bool { return f == lacking })

		if how, where := s.chooseLoss(rand.New(rand.NewPCG(1, 1))); how != lacking.how || where != lacking.place {
			t.Errorf("%s: got %q, %v", lacking, how, where)
		}
	}
}

func TestARequiredFailoverIsTriedFirst(t *testing.T) {
	s := triedBut(func(f failover) bool {
		return f.required() && f.how == leaderStepsDown && f.step == commit || !f.required()
	})

	for seed := range uint64(20) {
		if how, where := s.chooseLoss(rand.New(rand.NewPCG(seed, 1))); how != leaderStepsDown || where != after {
			t.Errorf("seed %d: got %q, %v", seed, how, where)
		}
	}
}

// triedBut is a stage that has seen all failovers but these.
func triedBut(lacks func(failover) bool) *stage {
	s := &stage{tally: newTally()}
	for _, f := range failovers() {
		if !lacks(f) {
			s.tally.add("failovers", f.String())
		}
	}
	return s
}
