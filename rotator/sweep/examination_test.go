package sweep_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
)

func TestExaminationNamesWhatIsWrongWithEachRecord(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	edit := func(n int, change func(map[string]any)) { f.store.Edit(string(tenant(n)), change) }
	edit(2, func(r map[string]any) { r["rotation_policy"] = "soon" })
	edit(3, func(r map[string]any) { r["username"] = strings.ToUpper(userOf(4)) })
	edit(5, func(r map[string]any) { r["webmail_url"] = "https://elsewhere.example" })
	edit(6, func(r map[string]any) { r["key_version"] = 2 })
	edit(7, func(r map[string]any) { r["pending"] = pendingOf("dead", f.began.Add(-time.Minute)) })
	edit(8, func(r map[string]any) { r["pending"] = pendingOf("alive", f.began.Add(time.Minute)) })
	edit(9, func(r map[string]any) { r["last_rotated"], r["created_at"] = "yesterday", "2999-01-01T00:00:00Z" })
	f.store.Put("shared", map[string]any{})

	found, err := f.sweep.Examine(t.Context(), f.ring(t))

	if err != nil {
		t.Fatal(err)
	}
	want := []rotator.Issue{
		{Tenant: string(tenant(2)), Kind: rotator.IssueMalformed, Reason: `rotation_policy "soon"`},
		{Tenant: string(tenant(3)), Kind: rotator.IssueShared, Reason: "2 tenants name the user"},
		{Tenant: string(tenant(4)), Kind: rotator.IssueShared, Reason: "2 tenants name the user"},
		{Tenant: string(tenant(5)), Kind: rotator.IssueUnlisted, Reason: "not listed"},
		{Tenant: string(tenant(6)), Kind: rotator.IssueKeyUnknown, Reason: "sealed with version 2 of the master key"},
		{Tenant: string(tenant(7)), Kind: rotator.IssueHalfFinished, Reason: "by dead: the next run finishes it"},
		{Tenant: string(tenant(9)), Kind: rotator.IssueUndated, Reason: "last_rotated is not a timestamp of RFC 3339; created_at is in the future: 2999-01-01T00:00:00.000Z; its age is unknown, so it counts as due"},
		{Tenant: "shared", Kind: rotator.IssueForeign, Reason: "never touched"},
	}
	same := func(got, want rotator.Issue) bool {
		return got.Tenant == want.Tenant && got.Kind == want.Kind && strings.Contains(got.Reason, want.Reason)
	}
	if !slices.EqualFunc(found.Issues, want, same) {
		t.Errorf("got %+v", found.Issues)
	}
	if found.Tenants != 9 || found.WellFormed != 4 || found.Serious() != 5 {
		t.Errorf("%d of %d well-formed, %d serious flaws; want 4 of 9 and 5", found.WellFormed, found.Tenants, found.Serious())
	}
}

// The correction of a record depends on the fields, and applies to the version that was
// read.
func TestExaminationNamesTheFieldsToBeCorrected(t *testing.T) {
	const zero = "0001-01-01T00:00:00Z"
	claim := func(until any) map[string]any {
		return map[string]any{"password": envelope(0), "last_rotated": "2026-01-01T00:00:00Z", "owner": "dead", "claimed_until": until}
	}
	sealedAs := func(sealed string) map[string]any {
		p := pendingOf("alive", time.Now().Add(time.Minute))
		p["password"] = sealed
		return p
	}
	for _, test := range []struct {
		name   string
		record map[string]any
		kind   rotator.IssueKind
		reason string
		fields []string
	}{
		{"empty pending", map[string]any{"pending": ""}, rotator.IssueMalformed, "it is empty", []string{"pending"}},
		{"pending without a password", map[string]any{"pending": map[string]any{"owner": "x"}}, rotator.IssueMalformed, "password is missing", []string{"pending"}},
		{"pending with one", map[string]any{"pending": claim("soon")}, rotator.IssueMalformed, "claimed_until is not a timestamp", []string{"pending.claimed_until"}},
		{"policy and version", map[string]any{"rotation_policy": 90, "key_version": "v1"}, rotator.IssueMalformed, "the number 90", []string{"rotation_policy", "key_version"}},
		{"both times", map[string]any{"last_rotated": zero, "created_at": zero}, rotator.IssueUndated, "last_rotated is before the year 1990, so it stands for no time: 0001-01-01T00:00:00.000Z; created_at is before", []string{"last_rotated", "created_at"}},
		{"one time", map[string]any{"created_at": "1970-01-01T00:00:00Z"}, rotator.IssueUndated, "created_at is before the year 1990", []string{"created_at"}},
		{"a time of another type", map[string]any{"created_at": 1700000000}, rotator.IssueUndated, "created_at is not a string but the number 1700000000; its age counts from", []string{"created_at"}},
		{"a sealed password in base64url", map[string]any{"password": strings.Repeat("-_", 24)}, rotator.IssueSealedForm, "password: sealed password does not open: it is base64url", []string{"password"}},
		{"a pending one in two lines", map[string]any{"pending": sealedAs(envelope(1)[:20] + "\n" + envelope(1)[20:])}, rotator.IssueSealedForm, "password of pending: sealed password does not open: it has line breaks", []string{"pending"}},
		{"an addition that is too short", map[string]any{"pending": sealedAs("c2VhbGVk"), "password": nil}, rotator.IssueSealedForm, "password of pending: sealed password does not open: it is too short", []string{"pending.password"}},
		{"a rotation taken over as often as may be", map[string]any{"pending": takenOver(6)}, rotator.IssueHalfFinished, "taken over 6 times without success: only a run that names the tenant goes on", nil},
		{"one taken over less often", map[string]any{"pending": takenOver(5)}, rotator.IssueHalfFinished, "the next run finishes it", nil},
		{"null times", map[string]any{"last_rotated": nil, "created_at": nil}, rotator.IssueUndated, "its age is unknown", nil},
	} {
		f := newFleet(t)
		f.add(serverA, 1)
		f.store.Edit(string(tenant(1)), func(r map[string]any) { maps.Copy(r, test.record) })

		found, err := f.sweep.Examine(t.Context(), nil)

		if err != nil || len(found.Issues) != 1 {
			t.Fatalf("%s: got %+v, %v", test.name, found, err)
		}
		flaw := found.Issues[0]
		if flaw.Kind != test.kind || !strings.Contains(flaw.Reason, test.reason) || !slices.Equal(flaw.Fields, test.fields) || flaw.Version != 2 {
			t.Errorf("%s: got %+v", test.name, flaw)
		}
	}
}

// takenOver is a half-finished rotation with the given number of take-overs.
func takenOver(times int) map[string]any {
	p := pendingOf("dead", time.Now().Add(-time.Minute))
	p["takeovers"] = times
	return p
}

func TestExaminationOfKeyVersionsThatAreNotToBeHad(t *testing.T) {
	ring, err := crypto.NewKeyring(map[crypto.KeyVersion][]byte{2: make([]byte, crypto.KeySize), 4: make([]byte, crypto.KeySize)})
	must(t, err)
	pending := func(version any) map[string]any {
		p := pendingOf("alive", time.Now().Add(time.Minute))
		p["key_version"] = version
		return p
	}
	for _, test := range []struct {
		name   string
		record map[string]any
		kind   rotator.IssueKind // "": no issue
	}{
		{"the newest", map[string]any{"key_version": 4}, ""},
		{"an older one", map[string]any{"key_version": 2}, ""},
		{"not recorded", map[string]any{"key_version": nil}, ""},
		{"trimmed", map[string]any{"key_version": 1}, rotator.IssueKeyHidden},
		{"trimmed, next to the newest", map[string]any{"key_version": 3}, rotator.IssueKeyHidden},
		{"not made yet", map[string]any{"key_version": 5}, rotator.IssueKeyUnknown},
		{"of the pending password", map[string]any{"key_version": 4, "pending": pending(3)}, rotator.IssueKeyHidden},
		{"of that alone", map[string]any{"key_version": nil, "pending": pending(3)}, rotator.IssueKeyHidden},
	} {
		f := newFleet(t)
		f.add(serverA, 1)
		f.edit(1, func(r map[string]any) { maps.Copy(r, test.record) })

		found, err := f.sweep.Examine(t.Context(), ring)

		must(t, err)
		var kind rotator.IssueKind
		for _, flaw := range found.Issues {
			kind += flaw.Kind
		}
		if kind != test.kind {
			t.Errorf("%s: got %q", test.name, kind)
		}
	}
}

func TestExaminationOfAnAdditionThatIsUnderWayFindsNothing(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 1)
	f.edit(1, func(r map[string]any) {
		r["pending"] = pendingOf("alive", time.Now().Add(time.Minute))
		delete(r, "password")
	})

	found, err := f.sweep.Examine(t.Context(), f.ring(t))

	if err != nil || len(found.Issues) != 0 {
		t.Errorf("got %+v, %v", found.Issues, err)
	}
}

// A malformed record's user is unknown.
func TestExaminationComparesAddressesOfWholeRecordsOnly(t *testing.T) {
	for name, whole := range map[string]int{"one whole record": 1, "two of them": 2} {
		f := newFleet(t)
		f.add(serverA, 1)
		f.add(serverB, 2, 3)
		for n := 1; n <= 3; n++ {
			f.edit(n, func(r map[string]any) {
				r["username"] = userOf(1)
				if n > whole {
					r["rotation_policy"] = "soon"
				}
			})
		}

		found, err := f.sweep.Examine(t.Context(), nil)

		must(t, err)
		same := 0
		for _, flaw := range found.Issues {
			if flaw.Kind == rotator.IssueOneAddress {
				same++
			}
		}
		if want := map[int]int{1: 0, 2: 2}[whole]; same != want {
			t.Errorf("%s: %d have one address with another, want %d", name, same, want)
		}
	}
}

func TestExaminationOfANullTimeBesideAnotherIsNoFlaw(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 1)
	f.store.Edit(string(tenant(1)), func(r map[string]any) { r["created_at"], r["rotation_policy"] = nil, nil })

	found, err := f.sweep.Examine(t.Context(), nil)

	if err != nil || len(found.Issues) != 0 {
		t.Errorf("got %+v, %v", found, err)
	}
}

func TestExaminationWithoutKeysSaysNothingAboutKeyVersions(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 1)
	f.store.Edit(string(tenant(1)), func(r map[string]any) { r["key_version"] = 2 })

	found, err := f.sweep.Examine(t.Context(), nil)

	if err != nil || found.WellFormed != 1 || len(found.Issues) != 0 {
		t.Errorf("got %+v, %v", found, err)
	}
}

func TestExaminationNeitherWritesNorAsksMailu(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 1, 2)

	_, err := f.sweep.Examine(t.Context(), f.ring(t))

	if err != nil {
		t.Fatal(err)
	}
	for _, c := range f.calls {
		if c.Op != rotatortest.OpList && c.Op != rotatortest.OpRead {
			t.Errorf("called %s", c.Op)
		}
	}
}

func TestClockCheckShowsTheDifference(t *testing.T) {
	for _, test := range []struct {
		ahead time.Duration
		state rotator.CheckState
		found string
	}{
		{0, rotator.CheckOK, "less than 2s from Vault's"},
		{-time.Second, rotator.CheckOK, "less than 2s from Vault's"},
		{2 * time.Second, rotator.CheckWarned, "this host's clock is 2s ahead of Vault's"},
		{-5 * time.Minute, rotator.CheckWarned, "this host's clock is 5m0s behind Vault's"},
		{5*time.Minute + time.Second, rotator.CheckFailed, "this host's clock is 5m1s ahead of Vault's; no run begins beyond 5m0s"},
	} {
		now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

		check := rotator.CheckClock(t.Context(), stopped(now.Add(test.ahead)), at(now))

		if check.State != test.state || !strings.HasPrefix(check.Found, test.found) {
			t.Errorf("%s ahead: got %+v", test.ahead, check)
		}
	}
}

func TestClockCheckFailsWithoutAnAnswer(t *testing.T) {
	check := rotator.CheckClock(t.Context(), rotator.SystemClock{}, at(time.Time{}))

	if check.State != rotator.CheckFailed || !strings.Contains(check.Found, "no answer") {
		t.Errorf("got %+v", check)
	}
}

// stopped is a clock that stands still.
type stopped time.Time

func (s stopped) Now() time.Time                             { return time.Time(s) }
func (s stopped) Sleep(context.Context, time.Duration) error { return nil }

// at is a time source; the zero one does not answer.
type at time.Time

func (a at) Time(context.Context) (time.Time, error) {
	if time.Time(a).IsZero() {
		return time.Time{}, errors.New("no answer")
	}
	return time.Time(a), nil
}

func pendingOf(owner string, until time.Time) map[string]any {
	return map[string]any{
		"password": envelope(0), "last_rotated": "2026-01-01T00:00:00Z", "key_version": 1,
		"owner": owner, "claimed_until": until.UTC().Format(time.RFC3339),
	}
}
