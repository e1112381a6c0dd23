package rotator_test

import (
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
)

func TestPoliciesThatParse(t *testing.T) {
	tests := []struct {
		text   string
		manual bool
		maxAge time.Duration
	}{
		{"1_days", false, 24 * time.Hour},
		{"30_days", false, 30 * 24 * time.Hour},
		{"180_days", false, 180 * 24 * time.Hour},
		{"100000_days", false, 100_000 * 24 * time.Hour},
		{"manual", true, 0},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			policy, err := rotator.ParsePolicy(test.text)

			if err != nil || policy.Manual() != test.manual || policy.MaxAge() != test.maxAge || policy.String() != test.text {
				t.Errorf("got %q, manual %t, %s, %v", policy, policy.Manual(), policy.MaxAge(), err)
			}
		})
	}
}

func TestPoliciesThatAreNeverGuessed(t *testing.T) {
	for _, text := range []string{
		"", "180", "days", "_days", "0_days", "-1_days", "+1_days", "007_days", "1.5_days", "1e2_days", "0x10_days",
		" 180_days", "180_days ", "180 days", "180_day", "180_Days", "180_DAYS", "180_days_days", "180_weeks", "1_000_days",
		"100001_days", "99999999999999999999_days", "Manual", "manual ", "never", "١٨٠_days", "180\u00a0_days", "180_days\n",
	} {
		t.Run(text, func(t *testing.T) {
			policy, err := rotator.ParsePolicy(text)

			if err == nil {
				t.Errorf("read as %q", policy)
			}
		})
	}
}

func TestTheComplaintAboutAPolicyIsShort(t *testing.T) {
	_, err := rotator.ParsePolicy(strings.Repeat("x", 10_000) + "\x1b[31m")

	if len(err.Error()) > 200 || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("got %q", err)
	}
}

func TestTheZeroPolicyIsNone(t *testing.T) {
	var policy rotator.Policy

	if policy.Manual() || policy.String() != "" {
		t.Errorf("manual %t, %q", policy.Manual(), policy)
	}
}

func FuzzParsePolicy(f *testing.F) {
	for _, seed := range []string{"180_days", "manual", "", "0_days", "007_days", "100001_days", "1_days_days", "-5_days"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		policy, err := rotator.ParsePolicy(s)

		switch {
		case err != nil && policy != rotator.Policy{}:
			t.Errorf("%q: an error and a policy", s)
		case err == nil && (policy.String() != s || policy.Manual() != (policy.MaxAge() == 0) || policy.MaxAge() < 0):
			t.Errorf("%q reads as %q, %s", s, policy, policy.MaxAge())
		}
	})
}
