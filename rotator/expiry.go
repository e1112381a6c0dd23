package rotator

import (
	"fmt"
	"time"
)

// expiryMargin is how long after a password has to be replaced its record must
// still be there, for a rotation that fails for some days.
const expiryMargin = 7 * 24 * time.Hour

// vanishes reports whether a record that the store deletes at the time given is
// gone before its policy has it written anew. Without an end of the policy it is.
func vanishes(expires, policyEnd time.Time) bool {
	return !expires.IsZero() && (policyEnd.IsZero() || !expires.After(policyEnd.Add(expiryMargin)))
}

// vanishes reports whether somebody has to keep the record from being lost.
func (c Credential) vanishes(now time.Time) bool {
	end, _ := c.PolicyEnd(now)
	return vanishes(c.Expires, end)
}

// expiry says when the store deletes the record by itself; empty where it does
// not.
func expiry(expires time.Time) string {
	if expires.IsZero() {
		return ""
	}
	return fmt.Sprintf("the record deletes itself at %s (delete_version_after): mailu-rotator doctor says how to end that", formatTime(expires))
}

// writtenAs is the record after it was stored as a version, which lives as long as
// the one that was read.
func (c Credential) writtenAs(version int, now time.Time) Credential {
	c.Version = version
	if !c.Expires.IsZero() {
		c.Expires = now.Add(c.life)
	}
	return c
}

// Vanishes reports whether the store deletes the record by itself before its
// policy has it written anew: its password is lost then.
func (s Status) Vanishes() bool {
	var end time.Time
	if !s.Due.IsZero() {
		end = s.policyEnd()
	}
	return vanishes(s.Expires, end)
}

// Expiry says when the store deletes the record by itself; empty where it does
// not.
func (s Status) Expiry() string { return expiry(s.Expires) }
