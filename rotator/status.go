package rotator

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// PolicyState is a tenant's state with respect to its policy. The strings are part of the
// JSON of status and the values of the metrics' label state.
type PolicyState string

// The states.
const (
	PolicyStateOverdue PolicyState = "overdue" // as old as its policy or older, after a sweep that should have rotated it
	PolicyStateInvalid PolicyState = "invalid" // not rotated until the record is fixed or its origin is listed
	PolicyStatePending PolicyState = "pending" // a rotation is running or half-finished
	PolicyStateDue     PolicyState = "due"     // its time has come, or its age is unknown: the next sweep rotates it
	PolicyStateOK      PolicyState = "ok"      // not due yet, or under a manual policy
	PolicyStateIgnored PolicyState = "ignored" // not a tenant
)

// PolicyStates returns all of them, the most urgent first.
func PolicyStates() []PolicyState {
	return []PolicyState{PolicyStateOverdue, PolicyStateInvalid, PolicyStatePending, PolicyStateDue, PolicyStateOK, PolicyStateIgnored}
}

// Status is what a tenant's record shows. It holds no secret.
type Status struct {
	Tenant      string // as listed
	User        string
	Origin      Origin
	LastRotated string    // as stored
	Born        time.Time // what the age counts from; zero: unknown
	Policy      Policy    // zero if it could not be read
	Due         time.Time // zero: never (manual), or its age is unknown
	Pending     *Claim    // of a running or half-finished rotation
	Begun       time.Time // when the pending password was created; zero: unknown
	Expires     time.Time // when the store deletes the record itself; zero: never
	Fault       string    // why it is not rotated, for people; empty if nothing is wrong
	Proof       bool      // the record has a proof: the hash of its password was checked once
	Ignored     bool      // not a tenant: the name is no tenant id, or the record was withdrawn, as Fault says
}

// StatusOf returns the status of a candidate. rivals tenants name its user, itself included.
func StatusOf(now time.Time, c Candidate, rivals int) Status {
	s := Status{
		Tenant: c.Name, User: c.Credential.Username, Origin: c.Credential.Origin,
		LastRotated: c.Credential.LastRotated, Policy: c.Credential.Policy, Expires: c.Credential.Expires, Proof: c.Credential.Proof != "", Ignored: c.Ignored,
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
		s.Fault = DuplicateUser(c, rivals).Error()
	case c.Unlisted != nil:
		s.Fault = c.Unlisted.Error()
	}
	return s
}

// PolicyState is the tenant's current state, with sweeps by the timetable.
func (s Status) PolicyState(now time.Time, t Timetable) PolicyState {
	switch {
	case s.Ignored:
		return PolicyStateIgnored
	case s.Fault != "":
		return PolicyStateInvalid
	case s.Pending != nil:
		return PolicyStatePending
	case s.Policy.Manual():
		return PolicyStateOK
	case s.Due.IsZero(): // its age is unknown, and so is the time since when it is due
		return PolicyStateDue
	case now.Before(s.Due):
		return PolicyStateOK
	case now.After(t.Deadline(s.policyEnd())):
		return PolicyStateOverdue
	}
	return PolicyStateDue
}

// policyEnd is when the password reaches the age that its policy allows, if Due is set.
func (s Status) policyEnd() time.Time { return s.Born.Add(s.Policy.MaxAge()) }

// Problem reports whether the tenant needs attention: it is overdue, invalid, vanishing, or
// still half-finished after a sweep that should have finished it.
func (s Status) Problem(now time.Time, t Timetable) bool {
	if s.Vanishes() {
		return true
	}
	switch s.PolicyState(now, t) {
	case PolicyStateOverdue, PolicyStateInvalid:
		return true
	case PolicyStatePending:
		begun := s.Begun
		if begun.IsZero() {
			begun = s.Pending.Until
		}
		return now.After(t.Deadline(begun))
	}
	return false
}

// Age is the age of the current password; false if it is unknown.
func (s Status) Age(now time.Time) (time.Duration, bool) {
	if s.Born.IsZero() {
		return 0, false
	}
	return max(now.Sub(s.Born), 0), true
}

// Left is the time until it is due, negative once it is; false: never or unknown.
func (s Status) Left(now time.Time) (time.Duration, bool) {
	if s.Due.IsZero() {
		return 0, false
	}
	return s.Due.Sub(now), true
}

// SortByUrgency puts the most urgent state first, then the soonest due, then never due.
func SortByUrgency(all []Status, now time.Time, t Timetable) {
	state := make(map[string]PolicyState, len(all)) // computed once each, not in every comparison
	for _, s := range all {
		state[s.Tenant] = s.PolicyState(now, t)
	}
	slices.SortStableFunc(all, func(a, b Status) int {
		return CompareUrgency(&a, state[a.Tenant], &b, state[b.Tenant])
	})
}

// CompareUrgency is the order of [SortByUrgency], for tenants with known states. An
// unknown age counts as the oldest.
func CompareUrgency(a *Status, standingA PolicyState, b *Status, standingB PolicyState) int {
	never := func(s *Status) int {
		if s.Policy.Manual() {
			return 1
		}
		return 0
	}
	if standingA != standingB {
		return cmp.Compare(slices.Index(PolicyStates(), standingA), slices.Index(PolicyStates(), standingB))
	}
	return cmp.Or(cmp.Compare(never(a), never(b)), a.Due.Compare(b.Due), strings.Compare(a.Tenant, b.Tenant))
}

// LastOutcome is the result of the tenant's last rotation, as far as the record shows
// it, and its time. A record shows neither a failure that left no trace, nor a sweep
// that skipped it. It is empty, with the zero time, if nothing is known.
func (s Status) LastOutcome(now time.Time) (o Outcome, at time.Time, reason string) {
	switch rotated, believed := pastTime(s.LastRotated, now); {
	case s.Ignored:
		return Ignored, time.Time{}, cmp.Or(s.Fault, notATenant)
	case s.Fault != "":
		return Invalid, time.Time{}, s.Fault
	case s.UnderWay(now):
		return Claimed, s.Begun, rotationUnderWay(*s.Pending)
	case s.Stuck(now):
		return Stuck, s.Begun, errStuck.Error()
	case s.Pending != nil:
		return Unfinished, s.Begun, halfFinishedBy(*s.Pending)
	case believed:
		return Rotated, rotated, ""
	}
	return "", time.Time{}, ""
}

// UnderWay reports whether a process is rotating the tenant: it has a valid claim.
func (s Status) UnderWay(now time.Time) bool { return s.Pending != nil && s.Pending.Live(now) }

// Stuck reports whether the rotation is half-finished, and no run finishes it that does not
// name the tenant.
func (s Status) Stuck(now time.Time) bool {
	return s.Pending != nil && !s.UnderWay(now) && s.Pending.Takeovers >= maxTakeovers
}

// notATenant is the reason for everything that is ignored.
const notATenant = "not a tenant id (a UUID version 4): not touched"

// Vanishes reports whether the store deletes the record before its policy has it
// rewritten: its password is lost then.
func (s Status) Vanishes() bool {
	var end time.Time
	if !s.Due.IsZero() {
		end = s.policyEnd()
	}
	return vanishes(s.Expires, end)
}

// Expiry says when the store deletes the record itself; empty if it does not.
func (s Status) Expiry() string { return expiry(s.Expires) }
