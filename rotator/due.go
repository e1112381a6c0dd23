package rotator

import "time"

// maxSkew is how far a clock or a stored timestamp may be ahead before it is rejected
// (docs/architecture.md).
const maxSkew = 5 * time.Minute

// Born is the time that the credential's age counts from: last_rotated, or else
// created_at. It ignores a timestamp more than five minutes ahead of now, like one that
// does not parse: it would keep the credential from ever becoming due. It also ignores
// one from before the year 1990, which stands for "never". False means that neither is
// usable.
func (c Credential) Born(now time.Time) (time.Time, bool) {
	for _, stored := range []string{c.LastRotated, c.CreatedAt} {
		if t, ok := pastTime(stored, now); ok {
			return t, true
		}
	}
	return time.Time{}, false
}

// Age is the age of the current password; false if it is unknown.
func (c Credential) Age(now time.Time) (time.Duration, bool) {
	born, known := c.Born(now)
	if !known {
		return 0, false
	}
	return max(now.Sub(born), 0), true
}

// Due reports whether the password must be replaced: the time of [Credential.DueAt] has
// come; equal counts. A credential of unknown age is due, one under a manual policy
// never is.
func (c Credential) Due(now time.Time) bool {
	if c.Policy.Manual() {
		return false
	}
	due, known := c.DueAt(now)
	return !known || !now.Before(due)
}

// DueAt is when the password is due: at the end of its policy, or earlier by the spread
// for this tenant and age. It returns false under a manual policy, or if the age is
// unknown. Everything that shows due dates uses it.
func (c Credential) DueAt(now time.Time) (time.Time, bool) {
	born, known := c.Born(now)
	if !known || c.Policy.MaxAge() == 0 {
		return time.Time{}, false
	}
	return born.Add(c.Policy.MaxAge() - c.Policy.early(c.Tenant, born)), true
}

// PolicyEnd is when the password reaches the age that its policy allows, whatever the
// spread; false as in [Credential.DueAt].
func (c Credential) PolicyEnd(now time.Time) (time.Time, bool) {
	born, known := c.Born(now)
	if !known || c.Policy.MaxAge() == 0 {
		return time.Time{}, false
	}
	return born.Add(c.Policy.MaxAge()), true
}

// rotatedSince reports whether the current password was created at cutoff or later.
// Stored times have milliseconds, so cutoff is truncated to them.
func (c Credential) rotatedSince(cutoff, now time.Time) bool {
	rotated, ok := pastTime(c.LastRotated, now)
	return ok && !rotated.Before(cutoff.Truncate(time.Millisecond))
}
