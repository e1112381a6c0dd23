package rotator

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Standing is how a tenant stands against its policy. The strings are part of
// the JSON of status and the values of the metrics' label state.
type Standing string

// The standings.
const (
	StandingOverdue Standing = "overdue" // as old as its policy or older, although a sweep that should have seen to it is over
	StandingInvalid Standing = "invalid" // not rotated until somebody mends the record, or lists its origin
	StandingPending Standing = "pending" // a rotation is under way or half-finished
	StandingDue     Standing = "due"     // its time has come, or its age is unknown: the next sweep takes it
	StandingOK      Standing = "ok"      // not due yet, or under a manual policy
	StandingIgnored Standing = "ignored" // not a tenant
)

// Standings returns all of them, the most urgent first.
func Standings() []Standing {
	return []Standing{StandingOverdue, StandingInvalid, StandingPending, StandingDue, StandingOK, StandingIgnored}
}

// Status is what a tenant's record says of it. It holds no secret.
type Status struct {
	Tenant      string // as listed
	User        string
	Origin      Origin
	LastRotated string    // as stored
	Born        time.Time // what the age counts from; zero: unknown
	Policy      Policy    // zero where it could not be read
	Due         time.Time // zero: never (manual), or its age is unknown
	Pending     *Claim    // of a rotation under way or half-finished
	Begun       time.Time // when the pending password was made; zero: unknown
	Expires     time.Time // when the store deletes the record by itself; zero: never
	Fault       string    // why it is not rotated, for people; empty if nothing is wrong
	Foreign     bool      // not a tenant at all; withdrawn, if Fault says so
}

// StatusOf understands a candidate of a fleet in which rivals tenants, itself
// included, name its user.
func StatusOf(now time.Time, c Candidate, rivals int) Status {
	s := Status{
		Tenant: c.Name, User: c.Credential.Username, Origin: c.Credential.Origin,
		LastRotated: c.Credential.LastRotated, Policy: c.Credential.Policy, Expires: c.Credential.Expires, Foreign: c.Foreign,
	}
	s.Born, _ = c.Credential.Born(now)
	s.Due, _ = c.Credential.DueAt(now)
	if pending := c.Credential.Pending; pending != nil {
		claim := pending.Claim
		s.Pending = &claim
		s.Begun, _ = pastTime(pending.LastRotated, now)
	}
	switch {
	case c.Err != nil:
		s.Fault = c.Err.Error()
	case rivals > 1:
		s.Fault = rivalry(c, rivals).Error()
	case c.Unlisted != nil:
		s.Fault = c.Unlisted.Error()
	}
	return s
}

// Standing is how the tenant stands now, with sweeps by the timetable.
func (s Status) Standing(now time.Time, t Timetable) Standing {
	switch {
	case s.Foreign:
		return StandingIgnored
	case s.Fault != "":
		return StandingInvalid
	case s.Pending != nil:
		return StandingPending
	case s.Policy.Manual():
		return StandingOK
	case s.Due.IsZero(): // its age is unknown, and so is since when it is due
		return StandingDue
	case now.Before(s.Due):
		return StandingOK
	case now.After(t.Deadline(s.policyEnd())):
		return StandingOverdue
	}
	return StandingDue
}

// policyEnd is when the password is as old as its policy allows: when it is due,
// or by the spread some time later. It is of use where Due is.
func (s Status) policyEnd() time.Time { return s.Born.Add(s.Policy.MaxAge()) }

// Problem reports whether somebody has to look at the tenant: it is overdue,
// invalid, still half-finished although a sweep that should have finished it is
// over, or its record deletes itself before a rotation is to write it anew.
func (s Status) Problem(now time.Time, t Timetable) bool {
	if s.Vanishes() {
		return true
	}
	switch s.Standing(now, t) {
	case StandingOverdue, StandingInvalid:
		return true
	case StandingPending:
		begun := s.Begun
		if begun.IsZero() {
			begun = s.Pending.Until
		}
		return now.After(t.Deadline(begun))
	}
	return false
}

// Age is how old the current password is; false if nobody knows.
func (s Status) Age(now time.Time) (time.Duration, bool) {
	if s.Born.IsZero() {
		return 0, false
	}
	return max(now.Sub(s.Born), 0), true
}

// Left is how long until it is due, negative once it is; false where that is
// never or nobody knows.
func (s Status) Left(now time.Time) (time.Duration, bool) {
	if s.Due.IsZero() {
		return 0, false
	}
	return s.Due.Sub(now), true
}

// Timetable says when sweeps come.
type Timetable struct {
	Schedule cron.Schedule
	Timezone *time.Location // where the schedule is read
	Jitter   time.Duration  // each begins up to so much later
	Window   time.Duration  // how long after that a rotation may be begun
}

// Deadline is when the first sweep after a time has begun all that it may begin.
// A tenant whose policy ended then and that is not seen to by its deadline is
// overdue. Where no sweep ever comes it is the time itself.
func (t Timetable) Deadline(after time.Time) time.Time {
	tick := NextTick(t.Schedule, after.In(t.Timezone))
	if tick.IsZero() {
		return after
	}
	return tick.Add(t.Jitter + t.Window)
}

// Status reads the records of the selection and nothing else: it needs no master
// key, asks no Mailu server and writes nothing. The time returned is that of
// the run, which the standings are to be taken at.
func (s *Sweep) Status(ctx context.Context, sel Selection) ([]Status, time.Time, error) {
	clock, err := guardClock(ctx, s.Clock, s.Time)
	if err != nil {
		return nil, time.Time{}, err
	}
	r := &run{Sweep: s, clock: clock, sel: sel, rotator: &Rotator{DefaultPolicy: s.DefaultPolicy}}
	var all []Status
	rivals, err := r.survey(ctx, func(c Candidate) bool {
		if sel.covers(c) {
			all = append(all, StatusOf(clock.Now(), c, 1))
		}
		return false
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	now := clock.Now()
	shared := map[string]Status{}
	for _, s := range statuses(now, rivals) {
		shared[s.Tenant] = s
	}
	for i, s := range all {
		if rival, found := shared[s.Tenant]; found {
			all[i] = rival
		}
	}
	return all, now, nil
}

// statuses are those of a fleet, or of all that may have rivals in it.
func statuses(now time.Time, candidates []Candidate) []Status {
	rivals := sharedUsers(candidates)
	all := make([]Status, len(candidates))
	for i, c := range candidates {
		all[i] = StatusOf(now, c, rivals[userKey(c)])
	}
	return all
}

// SortByUrgency puts what somebody has to see to first, and then what is due
// soonest. What is never due comes last.
func SortByUrgency(all []Status, now time.Time, t Timetable) {
	standing := make(map[string]Standing, len(all)) // reckoned once each, not in every comparison
	for _, s := range all {
		standing[s.Tenant] = s.Standing(now, t)
	}
	slices.SortStableFunc(all, func(a, b Status) int {
		return CompareUrgency(&a, standing[a.Tenant], &b, standing[b.Tenant])
	})
}

// CompareUrgency is the order of [SortByUrgency], for tenants whose standings
// are known.
func CompareUrgency(a *Status, standingA Standing, b *Status, standingB Standing) int {
	if standingA != standingB {
		return cmp.Compare(slices.Index(Standings(), standingA), slices.Index(Standings(), standingB))
	}
	return cmp.Or(compareDue(a, b), strings.Compare(a.Tenant, b.Tenant))
}

// compareDue takes an unknown age for the oldest.
func compareDue(a, b *Status) int {
	switch {
	case a.Policy.Manual() != b.Policy.Manual() && a.Policy.Manual():
		return 1
	case a.Policy.Manual() != b.Policy.Manual():
		return -1
	}
	return a.Due.Compare(b.Due)
}
