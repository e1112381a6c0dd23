package page

import (
	"slices"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

// fleet is a snapshot with the computed standing of each tenant.
type fleet struct {
	status.Snapshot
	timetable rotator.Timetable
	rows      []*row // most urgent first
	standings map[rotator.Standing]int
	failed    int  // tenants on which the last run failed
	problems  int  // tenants with which the last verification found a problem
	expiring  int  // tenants whose record deletes itself too early
	expires   *row // the first of them; nil if there is none
}

// row is one tenant.
type row struct {
	*status.Entry
	standing rotator.Standing
}

func newFleet(s status.Snapshot, t rotator.Timetable) fleet {
	f := fleet{Snapshot: s, timetable: t, rows: make([]*row, len(s.Tenants)), standings: map[rotator.Standing]int{}}
	for i := range s.Tenants {
		e := &s.Tenants[i]
		r := &row{Entry: e, standing: e.Standing(s.Now, t)}
		f.rows[i] = r
		f.standings[r.standing]++
		if r.failed() {
			f.failed++
		}
		if r.State.Problem() {
			f.problems++
		}
		if r.Vanishes() {
			f.expiring++
			if f.expires == nil || r.Expires.Before(f.expires.Expires) {
				f.expires = r
			}
		}
	}
	slices.SortFunc(f.rows, func(a, b *row) int {
		return rotator.CompareUrgency(&a.Status, a.standing, &b.Status, b.standing)
	})
	return f
}

// failed reports whether a run failed on the tenant and nobody, such as another host,
// has rotated it since.
func (r *row) failed() bool { return r.Outcome.Failure() && !r.Born.After(r.At) }

// halfFinished reports whether the next run has to finish a rotation. While its claim
// is valid, another process is working on it.
func (r *row) halfFinished(now time.Time) bool {
	return r.standing == rotator.StandingPending && !now.Before(r.Pending.Until)
}

// passwords is the number of tenants, without ignored entries.
func (f fleet) passwords() int { return len(f.rows) - f.standings[rotator.StandingIgnored] }

// running returns the current run.
func (f fleet) running() (status.RunEntry, bool) {
	if len(f.Runs) == 0 || !f.Runs[0].Finished.IsZero() {
		return status.RunEntry{}, false
	}
	return f.Runs[0], true
}

// refused returns the newest run if it could not start.
func (f fleet) refused() (status.RunEntry, bool) {
	if len(f.Runs) == 0 || f.Runs[0].Err == "" {
		return status.RunEntry{}, false
	}
	return f.Runs[0], true
}

// stale reports whether the records are older than the last scheduled sweep.
func (f fleet) stale() bool { return f.Now.After(f.timetable.Deadline(f.Scanned)) }
