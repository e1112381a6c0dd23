package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestNobodyIsLockedOut is a short run of everything: it continues until a process was
// killed at each step and every kind of fault has occurred.
func TestNobodyIsLockedOut(t *testing.T) {
	o := options{duration: 20 * time.Second, patience: 5 * time.Minute, seed: 1, tenants: 40, nights: 2}

	got, err := run(t.Context(), o, t.Output())

	if err != nil {
		t.Fatal(err)
	}
	if !got.good() {
		t.Errorf("locked out %d, lost %d, pending %d, findings %d", got.lockedOut, got.lost, got.pending, len(got.findings))
	}
	if len(got.missing) > 0 {
		t.Errorf("this run has not seen: %s", strings.Join(got.missing, "; "))
	}
}

// An audit that finds nothing proves nothing: these programs break the protocol, and it
// must notice.
func TestABrokenProtocolIsFound(t *testing.T) {
	tests := []struct {
		name   string
		broken change
		want   string
	}{
		{
			name: "commit before verify", want: "became current before mailu was proven to hold it",
			broken: change{
				file: "rotator/rotate.go",
				old:  "match, asked := r.verify(ctx)",
				new:  "match, asked := Match, error(nil)",
			},
		},
		{
			name: "ignore the claim", want: "took a claim that stood",
			broken: change{
				file: "rotator/claim.go",
				old:  "return now.Before(c.Until) && ",
				new:  "return now.Before(c.Until.Add(-MaxClaimTTL)) && ",
			},
		},
		{
			name: "ignore a second record", want: "pushed although a second record was there",
			broken: change{
				file: "rotator/sweep/plan.go",
				old:  "case rivals > 1:",
				new:  "case rivals > 9:",
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			// On a loaded machine little happens in eight seconds.
			for seed := range uint64(5) {
				o := options{duration: 8 * time.Second, seed: 1 + seed, tenants: 12, changes: []change{test.broken}}

				got, err := run(t.Context(), o, t.Output())

				if err != nil {
					t.Fatal(err)
				}
				if slices.ContainsFunc(got.findings, func(f finding) bool { return strings.Contains(f.what, test.want) }) {
					return
				}
			}
			t.Errorf("nothing found that %s", test.want)
		})
	}
}

// This program does not sweep when it starts in an open window, so tenants that were
// not rotated before a restart wait for the next tick.
func TestAMissedNightIsFound(t *testing.T) {
	forgetful := change{file: "rotator/sweep/scheduler.go", old: "if tick.IsZero() {\n\t\t\ta.done(t)", new: "if !tick.After(now) {\n\t\t\ta.done(t)"}

	got, err := run(t.Context(), options{seed: 1, tenants: 12, nights: 1, changes: []change{forgetful}}, t.Output())

	if err != nil {
		t.Fatal(err)
	}
	if got.missed == 0 || got.good() || !slices.ContainsFunc(got.findings, func(f finding) bool { return strings.Contains(f.what, missedNight) }) {
		t.Errorf("%d tenants missed the night, findings %d, good %t", got.missed, len(got.findings), got.good())
	}
}

// Somebody sets a password in Mailu that Vault has never held, for a tenant that no run
// has a reason to process.
func TestAPasswordThatOnlyMailuHasIsLockedOutAndLost(t *testing.T) {
	s, err := setUp(t.Context(), options{tenants: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer s.tearDown()
	victim := s.tenants[1]
	url := victim.mailu.Origin() + "/api/v1/user/" + victim.user
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, url, strings.NewReader(`{"raw_password":"from elsewhere"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", victim.mailu.Token())
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()

	r, err := s.finalCheck(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	histories, err := s.histories(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := s.result(r, histories, nil)

	if got.lockedOut != 1 || got.lost != 1 || len(got.findings) != 1 || got.pending != 0 || got.good() {
		t.Errorf("locked out %d, lost %d, findings %d, pending %d, good %t", got.lockedOut, got.lost, len(got.findings), got.pending, got.good())
	}
}
