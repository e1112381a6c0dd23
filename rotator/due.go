package rotator

import "time"

// maxSkew is how far a clock or a stored timestamp may be ahead before it is
// not believed (DESIGN.md, section 5).
const maxSkew = 5 * time.Minute

// Born is the time that the credential's age counts from: last_rotated, else
// created_at. A timestamp more than five minutes ahead of now is as unusable
// as one that does not parse: believed, it would keep the credential from ever
// falling due. So is one from before the year 1990, which stands for "never".
// False means that neither can be used.
func (c Credential) Born(now time.Time) (time.Time, bool) {
	for _, stored := range []string{c.LastRotated, c.CreatedAt} {
		if t, ok := pastTime(stored, now); ok {
			return t, true
		}
	}
	return time.Time{}, false
}

// Age is how old the current password is; false if nobody knows.
func (c Credential) Age(now time.Time) (time.Duration, bool) {
	born, known := c.Born(now)
	if !known {
		return 0, false
	}
	return max(now.Sub(born), 0), true
}

// Due reports whether the password is to be replaced: the time of [Credential.DueAt]
// has come; equal counts. A credential of unknown age is due, one under a manual
// policy never is.
func (c Credential) Due(now time.Time) bool {
	if c.Policy.Manual() {
		return false
	}
	due, known := c.DueAt(now)
	return !known || !now.Before(due)
}

// DueAt is when the password is due: at the end of its policy, or earlier by what
// the spread makes of tenant and age. False where no age makes it so, or nobody
// knows its age. Whatever is said about due dates is said by this.
func (c Credential) DueAt(now time.Time) (time.Time, bool) {
	born, known := c.Born(now)
	if !known || c.Policy.MaxAge() == 0 {
		return time.Time{}, false
	}
	return born.Add(c.Policy.MaxAge() - c.Policy.early(c.Tenant, born)), true
}

// PolicyEnd is when the password is as old as its policy allows, whatever the
// spread; false as in [Credential.DueAt].
func (c Credential) PolicyEnd(now time.Time) (time.Time, bool) {
	born, known := c.Born(now)
	if !known || c.Policy.MaxAge() == 0 {
		return time.Time{}, false
	}
	return born.Add(c.Policy.MaxAge()), true
}

// rotatedSince reports whether the current password was made at cutoff or
// later. Stored times have milliseconds, so the cut-off is compared as such.
func (c Credential) rotatedSince(cutoff, now time.Time) bool {
	rotated, ok := pastTime(c.LastRotated, now)
	return ok && !rotated.Before(cutoff.Truncate(time.Millisecond))
}
