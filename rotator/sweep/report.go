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

func newRow(now time.Time, c rotator.Candidate, o rotator.Outcome, reason string) Row {
	row := Row{
		Tenant: c.Name, User: c.Credential.Username, Origin: c.Credential.Origin,
		LastRotated: c.Credential.LastRotated, Age: -1, Outcome: o, Reason: reason,
	}
	if age, known := c.Credential.Age(now); known {
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
	n := 0
	for _, row := range r.Rows {
		if row.Outcome == o {
			n++
		}
	}
	return n
}

// Incomplete reports whether another run with the same cut-off would find something to
// do.
func (r Report) Incomplete() bool {
	return r.Failures() > 0 || r.Count(rotator.Deferred) > 0
}

// Failures is the number of rows whose outcome is a failure.
func (r Report) Failures() int {
	n := 0
	for _, row := range r.Rows {
		if row.Outcome.Failure() {
			n++
		}
	}
	return n
}
