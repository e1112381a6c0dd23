package rotator

import (
	"fmt"
	"time"
)

// expiryMargin is how long a record must outlive the due date of its password, for a
// rotation that fails for some days.
const expiryMargin = 7 * 24 * time.Hour

// vanishes reports whether the store deletes a record before its policy has it
// rewritten. Without an end of the policy it does.
func vanishes(expires, policyEnd time.Time) bool {
	return !expires.IsZero() && (policyEnd.IsZero() || !expires.After(policyEnd.Add(expiryMargin)))
}

// vanishes reports whether the record will be lost without intervention.
func (c Credential) vanishes(now time.Time) bool {
	end, _ := c.PolicyEnd(now)
	return vanishes(c.Expires, end)
}

// expiry says when the store deletes the record itself; empty if it does not.
func expiry(expires time.Time) string {
	if expires.IsZero() {
		return ""
	}
	return fmt.Sprintf("the record deletes itself at %s (delete_version_after): mailu-rotator doctor says how to end that", formatTime(expires))
}

// writtenAs returns the record after it was stored as a version, which lives as long as
// the version that was read.
func (c Credential) writtenAs(version int, now time.Time) Credential {
	c.Version = version
	if !c.Expires.IsZero() {
		c.Expires = now.Add(c.life)
	}
	return c
}

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
