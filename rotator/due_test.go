package rotator_test

import (
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// dated is a credential under a policy of 30 days.
func dated(lastRotated, createdAt string) rotator.Credential {
	policy, _ := rotator.ParsePolicy("30_days")
	return rotator.Credential{LastRotated: lastRotated, CreatedAt: createdAt, Policy: policy}
}

func TestTheTimeThatAnAgeCountsFrom(t *testing.T) {
	const created = "2026-01-01T00:00:00Z"
	tests := []struct {
		name                   string
		lastRotated, createdAt string
		want                   string // empty: unknown
	}{
		{"last_rotated", "2026-06-01T00:00:00Z", created, "2026-06-01T00:00:00Z"},
		{"with a fraction", "2026-06-01T00:00:00.123Z", created, "2026-06-01T00:00:00.123Z"},
		{"with nine digits", "2026-06-01T00:00:00.123456789Z", created, "2026-06-01T00:00:00.123456789Z"},
		{"with an offset", "2026-06-01T02:00:00+02:00", created, "2026-06-01T00:00:00Z"},
		{"1990 with an offset, 1989 in UTC", "1990-01-01T00:00:00+05:00", created, created},
		{"1989 with an offset, 1990 in UTC", "1989-12-31T23:00:00-05:00", created, "1990-01-01T04:00:00Z"},
		{"without last_rotated", "", created, created},
		{"without either", "", "", ""},
		{"neither a timestamp", "yesterday", "long ago", ""},
		{"date alone", "2026-06-01", created, created},
		{"without zone", "2026-06-01T00:00:00", created, created},
		{"space for T", "2026-06-01 00:00:00Z", created, created},
		{"Unix time", "1780000000", created, created},
		{"no such day", "2026-02-30T00:00:00Z", created, created},
		{"leading space", " 2026-06-01T00:00:00Z", created, created},
		{"now", "2026-11-23T12:00:00Z", created, "2026-11-23T12:00:00Z"},
		{"just five minutes ahead", "2026-11-23T12:05:00Z", created, "2026-11-23T12:05:00Z"},
		{"a little more ahead", "2026-11-23T12:05:00.001Z", created, created},
		{"an hour ahead by its offset", "2026-11-23T12:00:00-01:00", created, created},
		{"both ahead", "2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z", ""},
		{"centuries ahead", "9999-12-31T23:59:59Z", created, created},
		{"Go's zero time", "0001-01-01T00:00:00Z", created, created},
		{"Go's zero time elsewhere", "0001-01-01T00:00:00+01:00", created, created},
		{"the epoch", "1970-01-01T00:00:00Z", created, created},
		{"a moment before the year 1990", "1989-12-31T23:59:59.999Z", created, created},
		{"before the year 1990 by its offset", "1990-01-01T00:00:00+02:00", created, created},
		{"after it by its offset", "1989-12-31T23:00:00-02:00", created, "1990-01-01T01:00:00Z"},
		{"the first moment of the year 1990", "1990-01-01T00:00:00Z", created, "1990-01-01T00:00:00Z"},
		{"both Go's zero time", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", ""},
		{"a leap second", "2016-12-31T23:59:60Z", created, created},
		{"t and z in lower case", "2026-06-01t00:00:00z", created, "2026-06-01T00:00:00Z"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			born, known := dated(test.lastRotated, test.createdAt).Born(noon)

			got := ""
			if known {
				got = born.UTC().Format(time.RFC3339Nano)
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestWhenACredentialIsDue(t *testing.T) {
	tests := []struct {
		name        string
		lastRotated string
		policy      string
		want        bool
	}{
		{"a millisecond before", "2026-10-24T12:00:00.001Z", "30_days", false},
		{"at the very instant", "2026-10-24T12:00:00Z", "30_days", true},
		{"later", "2026-10-01T00:00:00Z", "30_days", true},
		{"just rotated", "2026-11-23T12:00:00Z", "1_days", false},
		{"slightly ahead", "2026-11-23T12:04:00Z", "1_days", false},
		{"of unknown age", "", "100000_days", true},
		{"far ahead, so of unknown age", "2030-01-01T00:00:00Z", "30_days", true},
		{"manual and old", "2000-01-01T00:00:00Z", "manual", false},
		{"manual and of unknown age", "", "manual", false},
		{"Go's zero time", "0001-01-01T00:00:00Z", "100000_days", true},
		{"Go's zero time under manual", "0001-01-01T00:00:00Z", "manual", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := dated(test.lastRotated, "")
			c.Policy = rotatortest.Policy(t, test.policy)

			if c.Due(noon) != test.want {
				t.Errorf("due is %t", !test.want)
			}
		})
	}
}

func TestAnAgeIsNeverNegative(t *testing.T) {
	age, known := dated("2026-11-23T12:04:00Z", "").Age(noon)

	if age != 0 || !known {
		t.Errorf("got %s, %t", age, known)
	}
}

func TestAnUnknownAgeIsNoNumber(t *testing.T) {
	for _, stored := range []string{"", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"} {
		c := dated(stored, "")
		age, known := c.Age(noon)
		_, ends := c.PolicyEnd(noon)

		if age != 0 || known || ends {
			t.Errorf("%q: %s old (%t), its policy ends: %t", stored, age, known, ends)
		}
	}
}

func FuzzTimestamp(f *testing.F) {
	for _, seed := range []string{"2026-06-01T00:00:00Z", "2026-06-01T00:00:00.123+02:00", "", "yesterday", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "1970-01-01t00:00:00z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := dated(s, "")

		born, known := c.Born(noon)
		age, _ := c.Age(noon)

		if known && (born.Sub(noon) > 5*time.Minute || born.UTC().Year() < 1990) || age < 0 || !known && !c.Due(noon) {
			t.Errorf("%q: born %s (%t), age %s, due %t", s, born, known, age, c.Due(noon))
		}
	})
}
