package page

import (
	"slices"
	"time"

	"mailu-rotator/rotator"
)

// fleet is a snapshot with the standing of each tenant reckoned.
type fleet struct {
	rotator.Snapshot
	timetable rotator.Timetable
	rows      []*row // the most urgent first
	standings map[rotator.Standing]int
	failed    int // tenants on which the last run failed
	problems  int // tenants with which the last verification found one
}

// row is one tenant.
type row struct {
	*rotator.Entry
	standing rotator.Standing
}

func newFleet(s rotator.Snapshot, t rotator.Timetable) fleet {
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
	}
	slices.SortFunc(f.rows, func(a, b *row) int {
		return rotator.CompareUrgency(&a.Status, a.standing, &b.Status, b.standing)
	})
	return f
}

// failed reports whether a run failed on the tenant and nobody has rotated it
// since, such as another host.
func (r *row) failed() bool { return r.Outcome.Failure() && !r.Born.After(r.At) }

// halfFinished reports whether a rotation waits to be finished by the next run.
// While its claim stands somebody is at it.
func (r *row) halfFinished(now time.Time) bool {
	return r.standing == rotator.StandingPending && !now.Before(r.Pending.Until)
}

// passwords is the number of tenants, without entries that are none.
func (f fleet) passwords() int { return len(f.rows) - f.standings[rotator.StandingIgnored] }

// running is the run under way.
func (f fleet) running() (rotator.RunEntry, bool) {
	if len(f.Runs) == 0 || !f.Runs[0].Finished.IsZero() {
		return rotator.RunEntry{}, false
	}
	return f.Runs[0], true
}

// refused is the newest run, if it could not take place.
func (f fleet) refused() (rotator.RunEntry, bool) {
	if len(f.Runs) == 0 || f.Runs[0].Err == "" {
		return rotator.RunEntry{}, false
	}
	return f.Runs[0], true
}

// stale reports whether a sweep should have read the records since they were.
func (f fleet) stale() bool { return f.Now.After(f.timetable.Deadline(f.Surveyed)) }
