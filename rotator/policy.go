package rotator

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxPolicyDays keeps every due date within what a time.Duration can hold.
const maxPolicyDays = 100_000

// Policy says how old a password may grow, and how much earlier it may be due.
// The zero Policy is not valid; use [ParsePolicy].
type Policy struct {
	days   int // 0: manual
	set    bool
	spread Spread
}

// ParsePolicy reads "<n>_days" with n from 1 to 100000 and no leading zero, or
// "manual". Anything else is an error and never a guess.
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

// Manual reports whether the credential is rotated only when asked for.
func (p Policy) Manual() bool { return p.set && p.days == 0 }

// WithSpread is the same policy with another spread, which none has by itself: a
// record names days alone. The one of the default policy holds for all records.
func (p Policy) WithSpread(s Spread) Policy {
	p.spread = s
	return p
}

// MaxAge is the age at which a credential is due at the latest; 0 under a manual
// policy.
func (p Policy) MaxAge() time.Duration { return time.Duration(p.days) * 24 * time.Hour }

// String is the spelling that [ParsePolicy] reads.
func (p Policy) String() string {
	switch {
	case !p.set:
		return ""
	case p.days == 0:
		return "manual"
	}
	return strconv.Itoa(p.days) + "_days"
}
