package sweep_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
)

func TestRecordTellsWhenItIsDueAndWhoIsAtIt(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 1)
	f.store.Edit(string(tenant(1)), func(r map[string]any) {
		r["last_rotated"] = f.began.Add(-24 * time.Hour).Format(time.RFC3339)
		r["note"], r["api_key"] = "somebody's", "else's"
		r["pending"] = pendingOf("alive", f.began.Add(time.Minute))
	})

	got, err := f.sweep.Record(t.Context(), string(tenant(1)))

	if err != nil {
		t.Fatal(err)
	}
	due := f.began.Add(179 * 24 * time.Hour)
	if got.Problem != nil || got.Overdue || !got.ByDefault || !got.UnderWay || got.Due.Sub(due).Abs() > time.Second {
		t.Errorf("got %+v", got)
	}
	if others := got.Credential.OtherFields(); !slices.Equal(others, []string{"api_key", "note"}) {
		t.Errorf("other fields %q", others)
	}
}

func TestRecordShowsNoCredentialsOfAURL(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 1)
	f.store.Edit(string(tenant(1)), func(r map[string]any) { r["webmail_url"] = "https://me:hunter2@mail.example.com" })

	got, err := f.sweep.Record(t.Context(), string(tenant(1)))

	if err != nil || !errors.Is(got.Problem, rotator.ErrMalformed) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if got.Credential.WebmailURL() != "" || strings.Contains(got.Problem.Error(), "hunter2") {
		t.Errorf("shown: %q, %v", got.Credential.WebmailURL(), got.Problem)
	}
}

func TestFindTakesNoUserThatTwoTenantsHave(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 1, 2)
	f.add(serverB, 3)
	f.store.Edit(string(tenant(3)), func(r map[string]any) { r["username"] = strings.ToUpper(userOf(2)) })

	one, err := f.sweep.Record(t.Context(), strings.ToUpper(userOf(1)))
	_, ambiguous := f.sweep.Record(t.Context(), userOf(2))
	_, nobody := f.sweep.Record(t.Context(), "@")

	if one.Credential.Tenant != tenant(1) || err != nil {
		t.Errorf("got %s, %v", one.Credential.Tenant, err)
	}
	if ambiguous == nil || !strings.Contains(ambiguous.Error(), string(tenant(2))+", "+string(tenant(3))) {
		t.Errorf("ambiguous: %v", ambiguous)
	}
	if nobody == nil {
		t.Error("found a tenant for nobody")
	}
}

func TestAcceptedIsThePasswordThatMailuHolds(t *testing.T) {
	for held, want := range map[string]string{"current": "current", "pending": "pending", "neither": ""} {
		t.Run(held, func(t *testing.T) {
			f := newFleet(t)
			f.sealed(t, 1, "current")
			made := f.began.Add(-time.Hour).Format(time.RFC3339)
			f.store.Edit(string(tenant(1)), func(r map[string]any) {
				p := pendingOf("dead", f.began.Add(-time.Minute))
				p["last_rotated"], p["password"] = made, f.seal(t, 1, made, "pending")
				r["pending"] = p
			})
			f.mailu.AddUser(userOf(1), held)
			rec, err := f.sweep.Record(t.Context(), string(tenant(1)))
			if err != nil {
				t.Fatal(err)
			}

			password, _, _, err := f.sweep.Reveal(t.Context(), rec.Credential, false, true)

			if want == "" {
				if err == nil || !strings.Contains(err.Error(), "verify --repair") {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || password.RevealString() != want {
				t.Errorf("revealed another password than Mailu holds: %v", err)
			}
		})
	}
}
