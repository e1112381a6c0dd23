package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"mailu-rotator/rotator"
)

// overview is a summary of the fleet, and the tenants to list.
type overview struct {
	now      time.Time
	total    int
	count    map[rotator.Standing]int
	problems int           // tenants that need attention
	vanish   int           // of them, those whose record deletes itself
	oldest   time.Duration // of the known ages; negative: none is known
	next     time.Time     // when the first of the ok tenants falls due; zero: never
	week     int           // how many of them fall due within 7 days,
	month    int           // and within 30
	beyond   int           // tenants omitted by the limit
	tenants  []standing    // most urgent first
	asked    bool          // the daemon has returned its last outcomes
	unasked  error         // why not, if it should have
}

// standing is a tenant's state at the time of the overview.
type standing struct {
	rotator.Entry
	state   rotator.Standing
	problem bool
}

// newOverview sorts all tenants.
func newOverview(all []rotator.Status, now time.Time, t rotator.Timetable) *overview {
	rotator.SortByUrgency(all, now, t)
	o := &overview{now: now, total: len(all), count: map[rotator.Standing]int{}, oldest: -1, tenants: make([]standing, len(all))}
	for i, s := range all {
		o.tenants[i] = standing{rotator.Entry{Status: s}, s.Standing(now, t), s.Problem(now, t)}
		o.reckon(o.tenants[i])
	}
	return o
}

// remember adds the daemon's outcomes to the records.
func (o *overview) remember(known outcomes) {
	o.asked = known != nil
	for i := range o.tenants {
		if last, found := known[o.tenants[i].Tenant]; found {
			o.tenants[i].Outcome, o.tenants[i].At, o.tenants[i].Reason = last.Outcome, last.At, last.Reason
		}
	}
}

func (o *overview) reckon(s standing) {
	o.count[s.state]++
	if s.problem {
		o.problems++
	}
	if s.Vanishes() {
		o.vanish++
	}
	if age, known := s.Age(o.now); known {
		o.oldest = max(o.oldest, age)
	}
	left, comes := s.Left(o.now)
	if s.state != rotator.StandingOK || !comes {
		return
	}
	if o.next.IsZero() || s.Due.Before(o.next) {
		o.next = s.Due
	}
	if left <= 7*24*time.Hour {
		o.week++
	}
	if left <= 30*24*time.Hour {
		o.month++
	}
}

// lastOutcome is the tenant's last outcome; for a record that deletes itself, when that
// happens.
func (s standing) lastOutcome(now time.Time) (o rotator.Outcome, at time.Time, reason string) {
	o, at, reason = s.LastOutcome(now)
	return o, at, cmp.Or(reason, s.Expiry())
}

// show keeps only tenants in these states, and of them the most urgent; 0 means no
// limit. The totals are unchanged.
func (o *overview) show(states []rotator.Standing, limit int) {
	o.tenants = slices.DeleteFunc(o.tenants, func(s standing) bool { return !slices.Contains(states, s.state) })
	if limit > 0 && len(o.tenants) > limit {
		o.beyond = len(o.tenants) - limit
		o.tenants = o.tenants[:limit]
	}
}

func printOverview(out io.Writer, o *overview, format string, p palette) error {
	var err error
	switch format {
	case "json":
		err = printOverviewJSON(out, o)
	case "csv":
		err = printOverviewCSV(out, o)
	default:
		err = printOverviewTable(out, o, format == "wide", p)
	}
	if err != nil {
		return fmt.Errorf("print the status: %w", err)
	}
	return nil
}
