package sweep_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

const day = 24 * time.Hour

func spread(t rapid.TB, text string) rotator.Spread {
	t.Helper()
	s, err := rotator.ParseSpread(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// spreadBy sets the spread of a candidate's policy.
func spreadBy(t *testing.T, text string) func(*rotator.Candidate) {
	return func(c *rotator.Candidate) { c.Credential.Policy = c.Credential.Policy.WithSpread(spread(t, text)) }
}

func TestSpreadsThatParse(t *testing.T) {
	for _, text := range []string{"0%", "1%", "10%", "50%"} {
		if s, err := rotator.ParseSpread(text); err != nil || s.String() != text {
			t.Errorf("%s: got %s, %v", text, s, err)
		}
	}
}

func TestSpreadsThatAreNeverGuessed(t *testing.T) {
	for _, text := range []string{"", "%", "0", "10", "0.1", "10 %", " 10%", "+1%", "-1%", "051%", "00%", "5.5%", "51%", "100%", "99999999999999999999%", "18d", "432h", "10%%"} {
		if s, err := rotator.ParseSpread(text); err == nil {
			t.Errorf("%q is read as %s", text, s)
		}
	}
}

// drawnCredential is any possible record's: each has its own policy.
func drawnCredential(t *rapid.T) rotator.Credential {
	policy, err := rotator.ParsePolicy(fmt.Sprintf("%d_days", rapid.OneOf(rapid.IntRange(1, 400), rapid.IntRange(1, 100_000)).Draw(t, "days")))
	if err != nil {
		t.Fatal(err)
	}
	hex := rapid.StringMatching("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
	// Not before the year 1990: such a time is rejected.
	ago := rapid.OneOf(rapid.Int64Range(0, 400*86_400_000), rapid.Int64Range(0, 36*365*86_400_000)).Draw(t, "ms ago")
	return rotator.Credential{
		Tenant: rotator.TenantID(hex.Draw(t, "tenant")), Policy: policy,
		LastRotated: time.UnixMilli(noon.UnixMilli() - ago).UTC().Format("2006-01-02T15:04:05.000Z"),
	}
}

func TestASpreadCredentialIsDueWithinTheSpreadAndNeverPastItsPolicy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawnCredential(t)
		percent := rapid.IntRange(0, 50).Draw(t, "percent")
		unspread, _ := c.DueAt(noon)
		c.Policy = c.Policy.WithSpread(spread(t, fmt.Sprintf("%d%%", percent)))

		due, known := c.DueAt(noon)

		share := c.Policy.MaxAge() / 100 * time.Duration(percent)
		earliest := unspread.Add(-share)
		if !known || due.After(unspread) || due.Before(earliest) || percent > 0 && !due.After(earliest) {
			t.Errorf("due %s (%t), the policy ends %s, the spread is %s", due, known, unspread, share)
		}
		if born, _ := c.Born(noon); due.Before(born.Add(c.Policy.MaxAge() / 2)) {
			t.Errorf("due %s, made %s: twice as often as its policy says", due, born)
		}
		if c.Due(due.Add(-1)) && !noon.Before(due) || !c.Due(due) {
			t.Errorf("not due just from %s on", due)
		}
	})
}

func TestADueDateIsTheSameWheneverAndWhereverItIsReckoned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawnCredential(t)
		c.Policy = c.Policy.WithSpread(spread(t, "10%"))
		other := c
		other.Version, other.CreatedAt, other.Username = 7, "2020-01-01T00:00:00Z", "somebody@else.example"
		born, _ := c.Born(noon)
		other.LastRotated = born.In(time.FixedZone("", 2*60*60)).Format("2006-01-02T15:04:05.000Z07:00")

		now, _ := c.DueAt(noon)
		later, _ := other.DueAt(noon.Add(1000 * day))

		if !now.Equal(later) {
			t.Errorf("first %s, then %s", now, later)
		}
	})
}

// TestDueDatesOfAReleaseStay: hosts of different releases agree on what is due, and an
// update causes no wave. These values must never change. Another implementation of the
// rule, in Python, gave the same.
func TestDueDatesOfAReleaseStay(t *testing.T) {
	const lower, upper = "0f8fad5b-d9cb-469f-a165-70867728950e", "7C9E6679-7425-40DE-944B-E07FC1F90AE7"
	tests := []struct{ tenant, policy, spread, due string }{
		{t1, "180_days", "0%", "2026-11-28T03:00:00Z"},
		{t1, "180_days", "10%", "2026-11-20T21:33:15Z"},
		{t1, "180_days", "50%", "2026-10-22T21:09:27Z"},
		{t1, "1_days", "10%", "2026-06-02T02:28:59Z"},
		{lower, "180_days", "10%", "2026-11-16T05:13:10Z"},
		{lower, "30_days", "10%", "2026-06-30T20:36:57Z"},
		{lower, "100000_days", "50%", "2242-02-03T17:44:23Z"},
		{upper, "180_days", "10%", "2026-11-23T23:24:05Z"},
		{upper, "30_days", "10%", "2026-06-29T08:06:09Z"},
	}
	for _, test := range tests {
		c := rotator.Credential{
			Tenant: rotator.TenantID(test.tenant), LastRotated: "2026-06-01T03:00:00.000Z",
			Policy: rotatortest.Policy(t, test.policy).WithSpread(spread(t, test.spread)),
		}

		due, _ := c.DueAt(noon)

		if got := due.Format(time.RFC3339Nano); got != test.due {
			t.Errorf("%s under %s, spread %s: got %s, want %s", test.tenant, test.policy, test.spread, got, test.due)
		}
	}
}

// A host without a spread follows the policy exactly.
func TestWithoutASpreadAllIsAsThePolicySays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawnCredential(t)
		c.Policy = c.Policy.WithSpread(spread(t, "0%"))
		born, _ := c.Born(noon)

		due, _ := c.DueAt(noon)

		if !due.Equal(born.Add(c.Policy.MaxAge())) {
			t.Errorf("made %s, due %s under %s", born, due, c.Policy)
		}
	})
}

func TestASpreadChangesNothingWhereNoAgeCounts(t *testing.T) {
	unknown := entry(t1, 0, undated, spreadBy(t, "50%")).Credential
	byHand := entry(t1, 999, manual, spreadBy(t, "50%")).Credential

	if _, known := unknown.DueAt(noon); known || !unknown.Due(noon) {
		t.Error("an unknown age has a date, or is not due")
	}
	if _, comes := byHand.DueAt(noon); comes || byHand.Due(noon) {
		t.Error("a manual policy has a date, or is due")
	}
}

func TestTheSpreadOfTheDefaultPolicyHoldsForTheRecordsOwn(t *testing.T) {
	byDefault := rotatortest.Policy(t, "180_days").WithSpread(spread(t, "50%"))
	record := rotator.Document{Version: 1, Fields: map[string]any{
		"username": "admin@a.example", "password": "sealed", "webmail_url": "https://mail.a.example",
		"last_rotated": "2026-06-01T03:00:00.000Z", "rotation_policy": "100_days",
	}}

	c, err := rotator.ParseCredential(t1, record, byDefault)

	due, _ := c.DueAt(noon)
	end, _ := c.PolicyEnd(noon)
	if err != nil || c.Policy.String() != "100_days" || !due.Before(end) || end.Sub(due) >= 50*day {
		t.Errorf("due %s, the policy %s ends %s, %v", due, c.Policy, end, err)
	}
}

// An early tenant is only due: nobody is alerted for a password that its policy still
// allows.
func TestOverdueBeginsWithThePolicyWhateverTheSpread(t *testing.T) {
	early := entry(t1, 29, spreadBy(t, "50%"))
	late := entry(t1, 32, spreadBy(t, "50%"))

	got := rotator.StatusOf(noon, early, 1).PolicyState(noon, nightly(t))
	then := rotator.StatusOf(noon, late, 1).PolicyState(noon, nightly(t))

	if got != rotator.PolicyStateDue || then != rotator.PolicyStateOverdue {
		t.Errorf("29 days old of 30: %s; 32 days old: %s", got, then)
	}
}

func TestThePlanSaysWhoIsEarlyAndKeepsTheOldestFirst(t *testing.T) {
	young, old := entry(t1, 29, spreadBy(t, "50%")), entry(t2, 30, spreadBy(t, "50%"))

	plan := sweep.Plan(noon, []rotator.Candidate{young, old}, sweep.Selection{})

	if got := planText(plan); got != "2 rotate, 1 rotate" {
		t.Fatalf("got %s", got)
	}
	if strings.Contains(plan[0].Reason, "spread") || !strings.HasSuffix(plan[1].Reason, ", spread from 2026-11-24") {
		t.Errorf("got %q, %q", plan[0].Reason, plan[1].Reason)
	}
}
