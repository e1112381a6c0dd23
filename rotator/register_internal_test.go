package rotator

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unsafe"
)

var packTime = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func entryOf(n int) Entry {
	p, _ := ParsePolicy("180_days")
	born := packTime.Add(-time.Duration(n) * time.Hour).Add(789 * time.Millisecond)
	return Entry{Status: Status{
		Tenant: unpackID([16]byte{byte(n * 37), byte(n >> 8), byte(n), 3, 4, 5, 0x40, 7, 0x80, 9}),
		User:   fmt.Sprintf("admin@%d.example", n), Origin: "https://mail.example", Policy: p, Born: born, Due: born.Add(p.MaxAge()),
	}}
}

func TestAMillionTenantsFit(t *testing.T) {
	if size := unsafe.Sizeof(packed{}); size > 48 {
		t.Errorf("a packed tenant takes %d bytes", size)
	}
}

func TestEveryEntryComesBackAsItWas(t *testing.T) {
	tests := map[string]struct {
		change func(*Entry)
		whole  bool
	}{
		"as most are":              {func(*Entry) {}, false},
		"manual":                   {func(e *Entry) { e.Policy, _ = ParsePolicy("manual"); e.Due = time.Time{} }, false},
		"of unknown age":           {func(e *Entry) { e.Born, e.Due = time.Time{}, time.Time{} }, false},
		"born at the beginning":    {func(e *Entry) { e.Born = time.Unix(0, 0).UTC(); e.Due = e.Born.Add(e.Policy.MaxAge()) }, false},
		"due some hours early":     {func(e *Entry) { e.Due = e.Due.Add(-7*time.Hour - time.Second) }, false},
		"due later than its age":   {func(e *Entry) { e.Due = e.Due.Add(time.Hour) }, true},
		"due between two seconds":  {func(e *Entry) { e.Due = e.Due.Add(-time.Second / 3) }, true},
		"with a policy for ages":   {func(e *Entry) { e.Policy, _ = ParsePolicy("100000_days"); e.Due = e.Born.Add(e.Policy.MaxAge()) }, false},
		"without a user":           {func(e *Entry) { e.User = "" }, false},
		"with a long user":         {func(e *Entry) { e.User = strings.Repeat("u", 256) }, true},
		"without an origin":        {func(e *Entry) { e.Origin = "" }, false},
		"rotated":                  {func(e *Entry) { e.Outcome, e.At = Rotated, packTime }, false},
		"verified":                 {func(e *Entry) { e.State, e.StateSince = StateOK, packTime }, false},
		"with a reason":            {func(e *Entry) { e.Outcome, e.At, e.Reason = Refused, packTime, "too short" }, true},
		"with a fault":             {func(e *Entry) { e.Fault = "malformed" }, true},
		"half-finished":            {func(e *Entry) { e.Pending, e.Begun = &Claim{Owner: "me"}, packTime }, true},
		"foreign":                  {func(e *Entry) { e.Tenant, e.Foreign = "README", true }, true},
		"in the other letter case": {func(e *Entry) { e.Tenant = strings.ToUpper(entryOf(200).Tenant) }, true},
		"finer than milliseconds":  {func(e *Entry) { e.Born = e.Born.Add(time.Microsecond); e.Due = e.Due.Add(time.Microsecond) }, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			want := entryOf(200)
			test.change(&want)
			r := newRegister()

			r.note(want)
			r.order()

			if got, found := r.find(want.Tenant); !found || got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if whole := len(r.whole) == 1; whole != test.whole {
				t.Errorf("kept whole: %t, want %t", whole, test.whole)
			}
		})
	}
}

// A rotation in the second of a verification is newer than that.
func TestTimesOfASecondKeepTheirOrder(t *testing.T) {
	r, e := newRegister(), entryOf(1)
	e.State, e.StateSince = StateDrift, packTime.Add(200*time.Millisecond)
	e.Outcome, e.At = Rotated, packTime.Add(300*time.Millisecond)

	r.note(e)
	r.order()

	if got, _ := r.find(e.Tenant); !got.At.After(got.StateSince) {
		t.Errorf("rotated at %s, verified at %s", got.At, got.StateSince)
	}
}

func TestARegisterOverManySurveys(t *testing.T) {
	const tenants = 3*packBlock + 17
	r := newRegister()
	for survey := range 5 { // each has another part of the fleet, and other users
		r.survey++
		want := map[string]Entry{}
		for n := survey * packBlock / 2; n < tenants-survey*1000; n++ {
			e := entryOf(n)
			e.User = fmt.Sprintf("%d.%s", survey, e.User)
			if n%1000 == survey {
				e.Fault = "malformed"
			}
			want[e.Tenant] = e
			r.note(e)
		}
		r.order()
		r.forget()

		got := map[string]Entry{}
		for i, more := 0, true; more; i++ {
			var part []Entry
			part, more = r.part(nil, i)
			for _, e := range part {
				if _, twice := got[e.Tenant]; twice {
					t.Fatalf("survey %d: %s comes twice", survey, e.Tenant)
				}
				got[e.Tenant] = e
			}
		}
		if len(got) != len(want) {
			t.Fatalf("survey %d: %d tenants, want %d", survey, len(got), len(want))
		}
		for tenant, e := range want {
			if found, _ := r.find(tenant); got[tenant] != e || found != e {
				t.Fatalf("survey %d: got %+v and %+v, want %+v", survey, got[tenant], found, e)
			}
		}
		if size, most := r.users.size(), 2*tenants*30+2*arenaBlock; size > most {
			t.Errorf("survey %d: the users' names take %d bytes", survey, size)
		}
	}
}

func TestTablesAndArenasHaveAnEnd(t *testing.T) {
	var table table[int]
	var place uint16
	for n := range math.MaxUint16 + 1 {
		if !table.add(n, &place) || int(place) != n {
			t.Fatalf("value %d is at %d", n, place)
		}
	}
	if table.add(-1, &place) || !table.add(7, &place) || place != 7 {
		t.Error("a full table takes more, or knows less than before")
	}
}

func TestRollGivesBackEveryName(t *testing.T) {
	names := []string{"README", "", unpackID([16]byte{6: 0x40, 8: 0x80}), strings.ToUpper(entryOf(250).Tenant), entryOf(3).Tenant, "../x"}
	r := newRoll()
	for _, name := range names {
		r.add(name)
	}
	r.end()

	for i, want := range names {
		if place, got, ok := r.next(t.Context()); !ok || place != i || got != want || r.name(i) != want {
			t.Errorf("name %d is %q (%d, %t), want %q", i, got, place, ok, want)
		}
	}
	if _, name, ok := r.next(t.Context()); ok {
		t.Errorf("and then there is %q", name)
	}
}

func TestRivalsAreThoseWithTheSameUser(t *testing.T) {
	r := newRivals()
	for n := range 3 * rollBlock {
		r.note(n, Candidate{Credential: Credential{Origin: "https://mail.example", Username: fmt.Sprintf("u%d@x.example", n%(3*rollBlock-2))}})
	}
	r.note(3*rollBlock, Candidate{Credential: Credential{Origin: "https://other.example", Username: "u5@x.example"}})
	r.note(3*rollBlock+1, Candidate{})
	r.note(3*rollBlock+2, Candidate{})

	if got, want := fmt.Sprint(r.found()), fmt.Sprint([]int{0, 1, 3*rollBlock - 2, 3*rollBlock - 1}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
