package rotator

import (
	"cmp"
	"fmt"
	"time"
)

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
	case s.Pending != nil && s.Pending.Takeovers >= maxTakeovers:
		return Stuck, s.Begun, errStuck.Error()
	case s.Pending != nil:
		return Unfinished, s.Begun, halfFinishedBy(*s.Pending)
	case believed:
		return Rotated, rotated, ""
	}
	return "", time.Time{}, ""
}

// UnderWay reports whether a process is rotating the tenant: it has a valid claim.
func (s Status) UnderWay(now time.Time) bool { return s.Pending != nil && s.Pending.live(now) }

// LastOutcome is the result of the last run that processed the tenant, unless the
// record shows a newer one, or that no run may change it.
func (e Entry) LastOutcome(now time.Time) (o Outcome, at time.Time, reason string) {
	o, at, reason = e.Status.LastOutcome(now)
	if e.Outcome == "" || e.Outcome == Fresh || e.Ignored || e.Fault != "" || at.After(e.At) {
		return o, at, reason
	}
	return e.Outcome, e.At, e.Reason
}

// notATenant is the reason for everything that is ignored.
const notATenant = "not a tenant id (a UUID version 4): not touched"

func rotationUnderWay(c Claim) string {
	return fmt.Sprintf("rotation under way by %s, until %s", c.Owner, formatTime(c.Until))
}

func halfFinishedBy(c Claim) string { return "half-finished rotation by " + c.Owner }
