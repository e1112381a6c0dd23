package rotator

import (
	"fmt"
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
	digits, found := strings.CutSuffix(s, "_days")
	days, err := strconv.Atoi(digits)
	if !found || err != nil || strconv.Itoa(days) != digits || days < 1 || days > maxPolicyDays {
		return Policy{}, fmt.Errorf("rotation_policy %.40q is neither \"<n>_days\" (1 to %d) nor \"manual\"", s, maxPolicyDays)
	}
	return Policy{days: days, set: true}, nil
}

// Manual reports whether the credential is rotated only on request.
func (p Policy) Manual() bool { return p.set && p.days == 0 }

// WithSpread returns the same policy with another spread. A record names only days; the
// spread of the default policy applies to all records.
func (p Policy) WithSpread(s Spread) Policy {
	p.spread = s
	return p
}

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
