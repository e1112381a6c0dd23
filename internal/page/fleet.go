package page

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

// fleet is a snapshot with the computed state of each tenant.
type fleet struct {
	status.Snapshot
	settings     Settings
	rows         []*row // most urgent first
	byState      map[rotator.PolicyState]int
	manual       int  // tenants with the policy manual
	failed       int  // tenants on which the last run failed
	problems     int  // tenants with which the last verification found a problem
	halfFinished int  // rotations that the next run has to finish
	stuck        int  // rotations that no run finishes by itself
	expiring     int  // tenants whose record deletes itself too early
	expires      *row // the first of them; nil if there is none
}

func newFleet(s status.Snapshot, settings Settings) fleet {
	f := fleet{Snapshot: s, settings: settings, rows: make([]*row, len(s.Tenants)), byState: map[rotator.PolicyState]int{}}
	for i := range s.Tenants {
		e := &s.Tenants[i]
		r := &row{Entry: e, PolicyState: e.PolicyState(s.Now, settings.Timetable), now: s.Now}
		f.rows[i] = r
		f.byState[r.PolicyState]++
		f.manual += one(r.Policy.Manual())
		f.failed += one(r.failed())
		f.problems += one(r.State.Problem())
		f.halfFinished += one(r.halfFinished())
		f.stuck += one(r.stuck())
		if r.Vanishes() {
			f.expiring++
			if f.expires == nil || r.Expires.Before(f.expires.Expires) {
				f.expires = r
			}
		}
	}
	slices.SortFunc(f.rows, func(a, b *row) int {
		return rotator.CompareUrgency(&a.Status, a.PolicyState, &b.Status, b.PolicyState)
	})
	return f
}

func one(counts bool) int {
	if counts {
		return 1
	}
	return 0
}

// Moment is a time as the page shows it.
func (f fleet) Moment(t time.Time) moment { return moment{At: t, Now: f.Now} }

// Ignored is the number of entries under the prefix that are no tenants.
func (f fleet) Ignored() int { return f.byState[rotator.PolicyStateIgnored] }

// Passwords is the number of tenants, without ignored entries.
func (f fleet) Passwords() int { return len(f.rows) - f.Ignored() }

// Running returns the current run, or nil.
func (f fleet) Running() *status.RunEntry {
	if len(f.Runs) == 0 || !f.Runs[0].Finished.IsZero() {
		return nil
	}
	return &f.Runs[0]
}

// row is one tenant. The template reads the entry's own fields from it.
type row struct {
	*status.Entry
	PolicyState rotator.PolicyState
	now         time.Time
}

// failed reports whether a run failed on the tenant and nobody, such as another host,
// has rotated it since.
func (r *row) failed() bool { return r.Outcome.Failure() && !r.Born.After(r.At) }

// halfFinished reports whether the next run has to finish a rotation. While its claim
// is valid, another process is working on it.
func (r *row) halfFinished() bool {
	return r.PolicyState == rotator.PolicyStatePending && !r.now.Before(r.Pending.Until) && !r.stuck()
}

// stuck reports whether a rotation waits for an operator.
func (r *row) stuck() bool {
	return r.PolicyState == rotator.PolicyStatePending && r.Stuck(r.now)
}

// AgeText is the age in words.
func (r *row) AgeText() string {
	if age, known := r.Age(r.now); known {
		return words(age)
	}
	return "unknown"
}

// Share is the age as a share of the policy, at most 100 percent; empty if unknown.
func (r *row) Share() string {
	age, known := r.Age(r.now)
	most := r.Policy.MaxAge()
	if !known || most <= 0 {
		return ""
	}
	return percent(float64(min(age, most)), int(most))
}

// LeftText is the time until the tenant falls due, or since; empty if unknown.
func (r *row) LeftText() string {
	left, comes := r.Left(r.now)
	switch {
	case comes && left <= 0:
		return words(left) + " over"
	case comes:
		return words(left)
	case r.Policy.Manual():
		return "never due"
	}
	return ""
}

// Why explains the state and says when the record deletes itself, if that is too
// early; it is empty if neither is needed.
func (r *row) Why() string {
	var why []string
	switch {
	case r.Fault != "":
		why = append(why, reason(r.Fault))
	case r.Pending == nil:
	case r.stuck():
		why = append(why, fmt.Sprintf("stuck: taken over %d times without success", r.Pending.Takeovers))
	case r.halfFinished():
		why = append(why, "half-finished; the claim of "+name(r.Pending.Owner)+" has lapsed")
	default:
		why = append(why, "under way in "+name(r.Pending.Owner))
	}
	if r.Vanishes() {
		why = append(why, r.Expiry())
	}
	return strings.Join(why, "; ")
}
