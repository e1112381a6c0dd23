package rotator

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// maxPolicyDays keeps every due date within what a time.Duration can hold.
const maxPolicyDays = 100_000

// Policy is the maximum age of a password, and its spread. The zero Policy is not
// valid; use [ParsePolicy].
type Policy struct {
	days   int // 0: manual
	set    bool
	spread Spread
}

// ParsePolicy reads "<n>_days" with n from 1 to 100000 and no leading zero, or
// "manual". Anything else is an error; it never guesses.
func ParsePolicy(s string) (Policy, error) {
	if s == "manual" {
		return Policy{set: true}, nil
	}
	days, ok := number(s, "_days")
	if !ok || days < 1 || days > maxPolicyDays {
		return Policy{}, fmt.Errorf("rotation_policy %.40q is neither \"<n>_days\" (1 to %d) nor \"manual\"", s, maxPolicyDays)
	}
	return Policy{days: days, set: true}, nil
}

// number reads a number in its only spelling, followed by a unit.
func number(s, unit string) (int, bool) {
	digits, found := strings.CutSuffix(s, unit)
	n, err := strconv.Atoi(digits)
	return n, found && err == nil && strconv.Itoa(n) == digits
}

// Manual reports whether the credential is rotated only on request.
func (p Policy) Manual() bool { return p.set && p.days == 0 }

// WithSpread returns the same policy with another spread. A record names only days; the
// spread of the default policy applies to all records.
func (p Policy) WithSpread(s Spread) Policy {
	p.spread = s
	return p
}

// Spread returns the policy's spread.
func (p Policy) Spread() Spread { return p.spread }

// MaxAge is the age at which a credential is due at the latest; 0 under a manual
// policy.
func (p Policy) MaxAge() time.Duration { return time.Duration(p.days) * 24 * time.Hour }

// String returns the text that [ParsePolicy] reads.
func (p Policy) String() string {
	switch {
	case !p.set:
		return ""
	case p.days == 0:
		return "manual"
	}
	return strconv.Itoa(p.days) + "_days"
}

// ByPolicy decides when nothing but the policy and the age matter, and says why.
func (c Credential) ByPolicy(now time.Time) (Action, string) {
	if c.Policy.Manual() {
		return Leave, "rotated only when asked for (manual)"
	}
	due, known := c.DueAt(now)
	day := due.UTC().Format(time.DateOnly)
	switch {
	case !known:
		return Rotate, "due: its age is unknown"
	case now.Before(due):
		return Leave, "not due before " + day
	}
	if end, _ := c.PolicyEnd(now); now.Before(end) {
		return Rotate, "due since " + day + ", spread from " + end.UTC().Format(time.DateOnly)
	}
	return Rotate, "due since " + day
}

// maxSpread is in percent. With more, a password could be replaced twice as often as
// its policy demands.
const maxSpread = 50

// Spread is how much earlier than its policy demands a password may be due, in percent
// of the policy, so that tenants that were rotated together spread out. A share fits the
// policy of every record, and makes none due immediately.
type Spread struct{ percent int }

// ParseSpread reads "<n>%", n from 0 to 50 and without a leading zero.
func ParseSpread(s string) (Spread, error) {
	percent, ok := number(s, "%")
	if !ok || percent < 0 || percent > maxSpread {
		return Spread{}, fmt.Errorf("%.40q is not a share of the policy, \"<n>%%\" from 0%% to %d%%", s, maxSpread)
	}
	return Spread{percent}, nil
}

// String returns the text that [ParseSpread] reads.
func (s Spread) String() string { return strconv.Itoa(s.percent) + "%" }

// early is how much sooner than its policy demands a password created at born is due,
// in whole seconds: from 0 to less than the spread's share of the policy.
//
// A hash of its id gives each tenant a fixed place in the cycle of its policy. The longer
// ago that place was when the password was created, the earlier the next one is due: each
// rotation closes the same share of the distance. So a wave is as wide as the spread in
// its first cycle, and wider in each later one until it fills the whole cycle. Then a
// tenant at its place is due after a whole policy again.
//
// Two simpler rules are worse, and permanently rotate more often than needed: with a fixed
// time per tenant, those whose intervals have the same number of sweeps stay together; with
// a time drawn at each rotation, a wave widens only with the square root of its cycles.
func (p Policy) early(tenant TenantID, born time.Time) time.Duration {
	share := p.MaxAge() / 100 * time.Duration(p.spread.percent)
	if share == 0 {
		return 0
	}
	// This part is drawn again at each rotation. Sweeps are daily, so it takes a day to
	// separate tenants that one sweep has rotated.
	drawn := min(24*time.Hour, share/2)
	cycle := p.MaxAge().Milliseconds() // like stored times: nanoseconds would not hold the whole calendar
	place := scaled(hash(string(tenant)), uint64(cycle))
	since := (born.UnixMilli() - int64(place)) % cycle
	if since < 0 {
		since += cycle // born is before 1970, or before its place
	}
	again := scaled(hash(string(tenant)+" "+strconv.FormatInt(born.UnixMilli(), 10)), uint64(drawn))
	high, low := bits.Mul64(uint64(share-drawn), uint64(since))
	steady, _ := bits.Div64(high, low, uint64(cycle))
	return time.Duration(steady + again).Truncate(time.Second)
}

// hash is the first eight bytes of the text's SHA-256, read as a big-endian number. It
// must never change, because hosts of different releases must agree; and integers round
// the same on every machine.
func hash(text string) uint64 {
	sum := sha256.Sum256([]byte(text))
	return binary.BigEndian.Uint64(sum[:])
}

// scaled is h / 2⁶⁴ of n.
func scaled(h, n uint64) uint64 {
	high, _ := bits.Mul64(h, n)
	return high
}

// maxSkew is how far a clock or a stored timestamp may be ahead before it is rejected
// (docs/architecture.md).
const maxSkew = 5 * time.Minute

// Born is the time that the credential's age counts from: last_rotated, or else
// created_at. It ignores an impossible time like one that does not parse: one ahead of
// now would keep the credential from ever becoming due. False means that neither is
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

// Due reports whether the password must be replaced: [Credential.DueAt] has come, or its
// age is unknown. Under a manual policy it never is.
func (c Credential) Due(now time.Time) bool {
	action, _ := c.ByPolicy(now)
	return action == Rotate
}

// DueAt is when the password is due: at the end of its policy, or earlier by the spread.
// It returns false under a manual policy, or if the age is unknown.
func (c Credential) DueAt(now time.Time) (time.Time, bool) {
	born, _ := c.Born(now)
	end, ends := c.PolicyEnd(now)
	if !ends {
		return time.Time{}, false
	}
	return end.Add(-c.Policy.early(c.Tenant, born)), true
}

// PolicyEnd is [Credential.DueAt] without the spread.
func (c Credential) PolicyEnd(now time.Time) (time.Time, bool) {
	born, known := c.Born(now)
	if !known || c.Policy.MaxAge() == 0 {
		return time.Time{}, false
	}
	return born.Add(c.Policy.MaxAge()), true
}

// RotatedSince reports whether the current password was created at cutoff or later.
// Stored times have milliseconds, so cutoff is truncated to them.
func (c Credential) RotatedSince(cutoff, now time.Time) bool {
	rotated, ok := pastTime(c.LastRotated, now)
	return ok && !rotated.Before(cutoff.Truncate(time.Millisecond))
}

// expiryMargin is how long a record must outlive its policy: a rotation may fail for days.
const expiryMargin = 7 * 24 * time.Hour

// vanishes reports whether the store deletes a record before its policy has it
// rewritten: its password is lost then. Without an end of the policy it does.
func vanishes(expires, policyEnd time.Time) bool {
	return !expires.IsZero() && (policyEnd.IsZero() || !expires.After(policyEnd.Add(expiryMargin)))
}

func (c Credential) vanishes(now time.Time) bool {
	end, _ := c.PolicyEnd(now)
	return vanishes(c.Expires, end)
}

// expiry says when the store deletes the record itself; empty if it does not.
func expiry(expires time.Time) string {
	if expires.IsZero() {
		return ""
	}
	return fmt.Sprintf("the record deletes itself at %s (delete_version_after): mailu-rotator doctor says how to end that", FormatTime(expires))
}

// writtenAs is the record stored as a version, which lives as long as the one read.
func (c Credential) writtenAs(version int, now time.Time) Credential {
	c.Version = version
	if !c.Expires.IsZero() {
		c.Expires = now.Add(c.life)
	}
	return c
}
