package sweep_test

import (
	"fmt"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// An attacker who writes a timestamp into a record can make its password due
// immediately, but can neither delay it for long nor cause an overflow.
func TestTimestampsAtTheEndsOfTheCalendar(t *testing.T) {
	for _, stamp := range []string{
		"0000-01-01T00:00:00Z", "0000-01-01T00:00:00+23:59", "0001-01-01T00:00:00Z", "1677-09-21T00:12:43Z",
		"2262-04-11T23:47:17Z", "9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59-23:59", "10000-01-01T00:00:00Z",
		"1900-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1989-12-31T23:59:59Z", "-0001-01-01T00:00:00Z", "+2026-01-01T00:00:00Z", "99999999999-01-01T00:00:00Z",
	} {
		for _, name := range []string{"30_days", "100000_days"} {
			candidate := entry(t1, 0, everywhere(stamp, rotatortest.Policy(t, name)))

			status := rotator.StatusOf(noon, candidate, 1)
			left, comes := status.Left(noon)
			age, _ := status.Age(noon)
			state := status.PolicyState(noon, nightly(t))

			if !candidate.Credential.Due(noon) {
				t.Errorf("%s under %s: not due", stamp, name)
			}
			if state != rotator.PolicyStateDue {
				t.Errorf("%s under %s: %s", stamp, name, state)
			}
			if age != 0 || left != 0 || comes || !status.Born.IsZero() {
				t.Errorf("%s under %s: %s old and %s left", stamp, name, age, left)
			}
			if outcome, at, _ := status.LastOutcome(noon); outcome != "" || !at.IsZero() {
				t.Errorf("%s under %s: last %s at %s", stamp, name, outcome, at)
			}
		}
	}
}

// everywhere sets the same timestamp in every timestamp field of a record.
func everywhere(stamp string, p rotator.Policy) func(*rotator.Candidate) {
	return func(c *rotator.Candidate) {
		c.Credential.LastRotated, c.Credential.CreatedAt, c.Credential.Policy = stamp, stamp, p
	}
}

func TestAPendingPasswordOfNoTimeIsJudgedByItsClaim(t *testing.T) {
	for _, stamp := range []string{"0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "yesterday"} {
		candidate := entry(t1, 3, begun(time.Hour, 0), func(c *rotator.Candidate) { c.Credential.Pending.LastRotated = stamp })

		status := rotator.StatusOf(noon, candidate, 1)

		if !status.Begun.IsZero() || status.Problem(noon, nightly(t)) {
			t.Errorf("%s: begun %s", stamp, status.Begun)
		}
	}
}

func TestATenantOfNoTimeComesFirst(t *testing.T) {
	at := func(tenant, stamp string) rotator.Status {
		return rotator.StatusOf(noon, entry(tenant, 0, everywhere(stamp, rotatortest.Policy(t, "30_days"))), 1)
	}
	all := []rotator.Status{at(t1, noon.AddDate(0, 0, -30).Format(time.RFC3339)), at(t2, "0001-01-01T00:00:00Z")}

	rotator.SortByUrgency(all, noon, nightly(t))

	if all[0].Tenant != t2 {
		t.Errorf("got %s first", all[0].Tenant)
	}
}

// A claim until the year 9999 would lock all processes out permanently.
func TestAClaimBeyondReasonIsNotBelieved(t *testing.T) {
	for name, until := range map[string]time.Time{
		"the year 9999": time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		"the year 1":    time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		inFleet(t, func(t *testing.T, f *fleet) {
			f.add(serverA, 1)
			f.leave(t, 1, "a stranger", until)

			report := f.run(t, sweep.Selection{PendingOnly: true})

			if got := report.Rows[0].Outcome; got != rotator.Finished {
				t.Errorf("%s: %s", name, got)
			}
		})
	}
}

// TestAFloodOfNamesKeepsNoTenantWaiting: only possible tenants are read, and the due
// one is rotated among a hundred thousand names.
func TestAFloodOfNamesKeepsNoTenantWaiting(t *testing.T) {
	const flood = 100_000
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.flood(flood)

		report := f.run(t, sweep.Selection{})

		counts := map[rotator.Outcome]int{}
		for _, row := range report.Rows {
			counts[row.Outcome]++
		}
		if counts[rotator.Rotated] != 1 || counts[rotator.Ignored] != flood {
			t.Errorf("got %v", counts)
		}
		if reads := len(f.of(rotatortest.OpRead)); reads != 1 {
			t.Errorf("%d records were read, want that of the tenant", reads)
		}
	})
}

// flood adds names that are not tenants.
func (f *fleet) flood(n int) {
	for i := range n {
		f.store.Put(fmt.Sprintf("flood-%06d", i), map[string]any{"username": "x"})
	}
}
