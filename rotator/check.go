package rotator

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Check is one result of the doctor. Its texts contain no secret. The tags are those of
// the doctor's JSON report.
type Check struct {
	Name  string     `json:"name"`
	State CheckState `json:"state"`
	Found string     `json:"found,omitempty"` // what was found, for people
	Fix   string     `json:"fix,omitempty"`   // the command or step that fixes it; empty if nothing is wrong
}

// CheckState is how a check ended. The strings are part of the JSON report.
type CheckState string

// The states of a check.
const (
	CheckOK      CheckState = "ok"
	CheckWarned  CheckState = "warning" // it works, but needs attention
	CheckFailed  CheckState = "failed"
	CheckSkipped CheckState = "skipped" // not checked, because an earlier check failed
)

// Passed is a check without problems.
func Passed(name, found string) Check { return Check{Name: name, State: CheckOK, Found: found} }

// Warned is a check of something that works but needs attention.
func Warned(name, found, fix string) Check {
	return Check{Name: name, State: CheckWarned, Found: found, Fix: fix}
}

// Broken is a check of something that must be fixed.
func Broken(name, found, fix string) Check {
	return Check{Name: name, State: CheckFailed, Found: found, Fix: fix}
}

// Skipped returns the checks that an earlier failure made pointless.
func Skipped(because string, names ...string) []Check {
	checks := make([]Check, len(names))
	for i, name := range names {
		checks[i] = Check{Name: name, State: CheckSkipped, Found: "not checked: " + because}
	}
	return checks
}

// CheckClock compares the host's clock with the one that all hosts share.
func CheckClock(ctx context.Context, clock Clock, source TimeSource) Check {
	const name, fix = "clock", "timedatectl set-ntp true"
	skew, err := compareClocks(ctx, clock, source)
	switch {
	case err != nil:
		return Broken(name, err.Error(), "vault read -format=json sys/health")
	case skew.Abs() < MinSkew:
		return Passed(name, fmt.Sprintf("less than %s from Vault's", MinSkew))
	}
	refusal := &ClockSkewError{Skew: skew}
	if skew.Abs() > maxSkew {
		return Broken(name, fmt.Sprintf("%s; no run begins beyond %s", refusal.distance(), maxSkew), fix)
	}
	return Warned(name, refusal.distance()+"; runs use Vault's clock, and are refused beyond a difference of "+maxSkew.String(), fix)
}

// undated describes the invalid timestamps of a record and their effect; empty without
// such timestamps. fields are the ones to correct.
func (c Credential) undated(now time.Time) (fields []string, reason string) {
	var problems []error
	for _, field := range []string{fieldLastRotated, fieldCreatedAt} {
		if problem := undated(c.fields[field], now); problem != "" {
			fields = append(fields, field)
			problems = append(problems, fmt.Errorf("%s %s", field, problem))
		}
	}
	born, known := c.Born(now)
	switch {
	case !known:
		problems = append(problems, errors.New("its age is unknown, so it counts as due"))
	case len(problems) > 0:
		problems = append(problems, fmt.Errorf("its age counts from %s", FormatTime(born)))
	}
	return fields, onOneLine(problems)
}

// undated says why the age of a password cannot be computed from a stored value; empty
// if it can, or if there is no value.
func undated(stored any, now time.Time) string {
	text, isText := stored.(string)
	at, parses := timestamp(text)
	switch _, usable := pastTime(text, now); {
	case stored == nil || usable:
		return ""
	case !isText:
		return "is not a string but " + describe(stored)
	case !parses:
		return "is not a timestamp of RFC 3339"
	case at.Sub(now) > maxSkew:
		return "is in the future: " + FormatTime(at)
	}
	return fmt.Sprintf("is before the year %d, so it stands for no time: %s", earliestYear, FormatTime(at))
}
