package rotator

import "time"

// Outcome is what a run did with a tenant, or plans to do. The strings are part of the
// JSON report.
type Outcome string

// The outcomes.
const (
	Rotated  Outcome = "rotated"  // a new password, in Mailu and in Vault
	Finished Outcome = "finished" // a half-finished rotation was completed
	Planned  Outcome = "planned"  // would be rotated or finished (dry run)
	Fresh    Outcome = "fresh"    // nothing to do
	Added    Outcome = "added"    // a new tenant: its record in Vault, its first password in Mailu
	Resealed Outcome = "resealed" // the same password, sealed with the newest master key
	Restored Outcome = "restored" // an earlier password is current again (rollback)
	Deferred Outcome = "deferred" // to be rotated, but not started: limit, window or interrupt
	Ignored  Outcome = "ignored"  // not a tenant; never touched

	Invalid    Outcome = "invalid"    // malformed or unreadable record; never touched
	Blocked    Outcome = "blocked"    // not started because of its server or Vault
	Claimed    Outcome = "claimed"    // another process is rotating it
	Refused    Outcome = "refused"    // Mailu certainly refused; the old password stays
	Unfinished Outcome = "unfinished" // half-finished; the next run finishes it
	Stuck      Outcome = "stuck"      // half-finished and taken over too often; see maxTakeovers
	Failed     Outcome = "failed"     // not rotated, and nothing was changed
)

// Outcomes returns all of them, in the order of a summary.
func Outcomes() []Outcome {
	return []Outcome{
		Planned, Rotated, Finished, Added, Restored, Resealed, Fresh, Deferred, Ignored,
		Refused, Unfinished, Stuck, Claimed, Blocked, Failed, Invalid,
	}
}

// Failure reports whether the tenant needs attention: such outcomes make the exit
// status 2.
func (o Outcome) Failure() bool {
	switch o {
	case Invalid, Blocked, Claimed, Refused, Unfinished, Stuck, Failed:
		return true
	}
	return false
}

// Row is the report on one tenant.
type Row struct {
	Tenant      string // as listed, even if it is not a tenant id
	User        string
	Origin      Origin
	LastRotated string        // as stored, after the run
	Age         time.Duration // after the run; negative if unknown
	Outcome     Outcome
	Reason      string // for people; empty if the outcome needs no explanation
}

func newRow(now time.Time, c Candidate, o Outcome, reason string) Row {
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
func (r Report) Count(o Outcome) int {
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
	return r.Failures() > 0 || r.Count(Deferred) > 0
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
