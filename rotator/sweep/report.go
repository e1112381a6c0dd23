package sweep

import (
	"time"

	"mailu-rotator/rotator"
)

// Row is the report on one tenant. The tags are those of the JSON report.
type Row struct {
	Tenant      string          `json:"tenant"` // as listed, even if it is not a tenant id
	User        string          `json:"user,omitempty"`
	Origin      rotator.Origin  `json:"origin,omitempty"`
	LastRotated string          `json:"last_rotated,omitempty"` // as stored, after the run
	Age         time.Duration   `json:"-"`                      // after the run; negative if unknown
	Outcome     rotator.Outcome `json:"outcome"`
	Reason      string          `json:"reason,omitempty"` // for people; empty if the outcome needs no explanation
}

func (d Decision) row(now time.Time) Row {
	row := Row{
		Tenant: d.Name, User: d.Credential.Username, Origin: d.Credential.Origin,
		LastRotated: d.Credential.LastRotated, Age: -1, Outcome: d.Outcome, Reason: d.Reason,
	}
	if age, known := d.Credential.Age(now); known {
		row.Age = age
	}
	return row
}

// Report is the result of one sweep.
type Report struct {
	Started  time.Time
	Finished time.Time
	DryRun   bool
	// RotatedBefore is the cut-off of a run over everything: tenants rotated at or
	// after it were skipped. It is zero in other runs. The next run continues from here
	// if it gets the same one.
	RotatedBefore time.Time
	Rows          []Row // in the order of the plan
}

// Count is the number of rows with the outcome.
func (r Report) Count(o rotator.Outcome) int {
	return count(r.Rows, func(row Row) bool { return row.Outcome == o })
}

// Failures is the number of rows whose outcome is a failure.
func (r Report) Failures() int {
	return count(r.Rows, func(row Row) bool { return row.Outcome.Failure() })
}

// Incomplete reports whether another run with the same cut-off would find something to
// do.
func (r Report) Incomplete() bool { return r.Failures() > 0 || r.Count(rotator.Deferred) > 0 }

func count[T any](all []T, is func(T) bool) (n int) {
	for _, one := range all {
		if is(one) {
			n++
		}
	}
	return n
}
