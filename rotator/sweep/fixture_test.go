package sweep_test

import (
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"mailu-rotator/rotator"
)

const (
	tenantA = "550e8400-e29b-41d4-a716-446655440000"
	userA   = "admin@a.example"
	ttl     = 5 * time.Minute
)

// noon is the time of tests that compute ages.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func policy(t testing.TB, text string) rotator.Policy {
	t.Helper()
	p, err := rotator.ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustParseCron(t *testing.T, spec string) cron.Schedule {
	t.Helper()
	schedule, err := cron.ParseStandard(spec)
	if err != nil {
		t.Fatal(err)
	}
	return schedule
}

func mustParseTime(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
