package sweep_test

import (
	"fmt"
	"testing"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/status"
)

// A record that was malformed when first read, and has been fixed since, is like any
// other: the cache shows what happens to its tenant.
func TestACorrectedTenantStaysOnTheBoard(t *testing.T) {
	board := status.NewCache(rotatortest.NewClock(noon))
	fleet := func(fault string) (all []rotator.Status) {
		for n := range 20 {
			s := rotator.Status{Tenant: fmt.Sprintf("%08x-5eed-4000-8000-000000000000", n), User: "admin@example.com"}
			if n == 3 {
				s.Fault = fault
			}
			all = append(all, s)
		}
		return all
	}
	board.Replace(fleet("malformed"))
	board.Replace(fleet(""))
	corrected := fleet("")[3].Tenant

	board.Observe(rotator.Event{Name: rotator.TenantDone, Tenant: corrected, Outcome: rotator.Rotated})

	for _, e := range board.Snapshot().Tenants {
		if e.Tenant == corrected && e.Outcome != rotator.Rotated {
			t.Errorf("the corrected tenant's outcome is %q", e.Outcome)
		}
	}
	if n := len(board.Snapshot().Tenants); n != 20 {
		t.Errorf("%d tenants of 20", n)
	}
}
