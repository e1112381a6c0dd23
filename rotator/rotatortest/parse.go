package rotatortest

import (
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"mailu-rotator/rotator"
)

// Policy parses a policy.
func Policy(t testing.TB, text string) rotator.Policy {
	t.Helper()
	p, err := rotator.ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Cron parses a schedule.
func Cron(t testing.TB, spec string) cron.Schedule {
	t.Helper()
	schedule, err := cron.ParseStandard(spec)
	if err != nil {
		t.Fatal(err)
	}
	return schedule
}

// Time parses a time of RFC 3339.
func Time(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
