package status

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
)

var entryTime = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func entryOf(n int) Entry {
	p, _ := rotator.ParsePolicy("180_days")
	born := entryTime.Add(-time.Duration(n) * time.Hour).Add(789 * time.Millisecond)
	return Entry{Status: rotator.Status{
		Tenant: rotator.UUID{byte(n * 37), byte(n >> 8), byte(n), 3, 4, 5, 0x40, 7, 0x80, 9}.String(),
		User:   fmt.Sprintf("admin@%d.example", n), Origin: "https://mail.example", Policy: p, Born: born, Due: born.Add(p.MaxAge()),
	}}
}

func noEntries() *entries { return &NewCache(rotator.SystemClock{}).tenants }

func TestEveryEntryComesBackAsItWas(t *testing.T) {
	tests := map[string]struct {
		change func(*Entry)
		whole  bool
	}{
		"as most are":              {func(*Entry) {}, false},
		"manual":                   {func(e *Entry) { e.Policy, _ = rotator.ParsePolicy("manual"); e.Due = time.Time{} }, false},
		"of unknown age":           {func(e *Entry) { e.Born, e.Due = time.Time{}, time.Time{} }, false},
		"born in 1970":             {func(e *Entry) { e.Born = time.Unix(0, 0).UTC(); e.Due = e.Born.Add(e.Policy.MaxAge()) }, false},
		"due some hours early":     {func(e *Entry) { e.Due = e.Due.Add(-7*time.Hour - time.Second) }, false},
		"without a user":           {func(e *Entry) { e.User = "" }, false},
		"without an origin":        {func(e *Entry) { e.Origin = "" }, false},
		"rotated":                  {func(e *Entry) { e.Outcome, e.At = rotator.Rotated, entryTime }, false},
		"verified":                 {func(e *Entry) { e.State, e.StateSince = rotator.StateOK, entryTime }, false},
		"with a reason":            {func(e *Entry) { e.Outcome, e.At, e.Reason = rotator.Refused, entryTime, "too short" }, true},
		"with a fault":             {func(e *Entry) { e.Fault = "malformed" }, true},
		"that expires":             {func(e *Entry) { e.Expires = entryTime }, true},
		"half-finished":            {func(e *Entry) { e.Pending, e.Begun = &rotator.Claim{Owner: "me"}, entryTime }, true},
		"foreign":                  {func(e *Entry) { e.Tenant, e.Ignored = "README", true }, true},
		"in the other letter case": {func(e *Entry) { e.Tenant = strings.ToUpper(entryOf(200).Tenant) }, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			want := entryOf(200)
			test.change(&want)
			want.seen = 7
			all := noEntries()

			all.put(want)

			if got, found := all.find(want.Tenant); !found || got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if whole := len(all.whole) == 1; whole != test.whole {
				t.Errorf("kept whole: %t, want %t", whole, test.whole)
			}
		})
	}
}

// An entry becomes unusual, and ordinary again.
func TestATenantHasOneEntry(t *testing.T) {
	all, special := noEntries(), entryOf(1)
	special.Fault = "malformed"
	for _, e := range []Entry{entryOf(1), special, entryOf(1)} {
		all.put(e)

		names := slices.Collect(all.names())
		if got, _ := all.find(e.Tenant); got != e || len(names) != 1 {
			t.Errorf("got %+v of %d, want %+v", got, len(names), e)
		}
	}
}

func TestEntriesOfThoseNotSeenAreForgotten(t *testing.T) {
	all := noEntries()
	for all.reading = 1; all.reading <= 3; all.reading++ { // each sees another part of the fleet
		want := map[string]Entry{}
		for n := 10 * all.reading; n < 10*all.reading+20; n++ {
			e := entryOf(n)
			if n%7 == 0 {
				e.Fault = "malformed"
			}
			e.seen = all.reading
			want[e.Tenant] = e
			all.put(e)
		}
		all.forget()

		got := map[string]Entry{}
		for name := range all.names() {
			got[name], _ = all.find(name)
		}
		if !maps.Equal(got, want) {
			t.Errorf("reading %d: got %v, want %v", all.reading, got, want)
		}
	}
}
