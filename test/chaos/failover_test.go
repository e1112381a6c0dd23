package main

import (
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
