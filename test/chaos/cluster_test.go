package main

import (
	"strings"
	"testing"
	"time"
)

// TestNobodyIsLockedOutOfACluster is a short run of several hosts, see
// TestNobodyIsLockedOut.
func TestNobodyIsLockedOutOfACluster(t *testing.T) {
	o := options{cluster: true, duration: 30 * time.Second, patience: 5 * time.Minute, seed: 1, tenants: 45}

	got, err := run(t.Context(), o, t.Output())

	if err != nil {
		t.Fatal(err)
	}
	if !got.good() {
		t.Errorf("locked out %d, lost %d, pending %d, findings %d", got.lockedOut, got.lost, got.pending, len(got.findings))
	}
	if len(got.missing) > 0 {
		t.Errorf("this run has not seen: %s", strings.Join(got.missing, "; "))
	}
}
