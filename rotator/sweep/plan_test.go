package sweep_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// Short names for the tenants and servers of the tables.
const (
	t1 = "00000000-0000-4000-8000-000000000001"
	t2 = "00000000-0000-4000-8000-000000000002"
	t3 = "00000000-0000-4000-8000-000000000003"
	t4 = "00000000-0000-4000-8000-000000000004"

	serverA = rotator.Origin("https://mail.a.example")
	serverB = rotator.Origin("https://mail.b.example")
)

// entry is a candidate under a policy of 30 days, with a password that many days old.
func entry(name string, days int, edits ...func(*rotator.Candidate)) rotator.Candidate {
	policy, _ := rotator.ParsePolicy("30_days")
	c := rotator.Candidate{Name: name, Credential: rotator.Credential{
		Tenant: rotator.TenantID(name), Username: "admin@" + name[len(name)-1:] + ".example", Origin: serverA, Policy: policy,
		Password: "sealed", LastRotated: noon.AddDate(0, 0, -days).Format(time.RFC3339),
	}}
	for _, edit := range edits {
		edit(&c)
	}
	return c
}

func manual(c *rotator.Candidate) { c.Credential.Policy, _ = rotator.ParsePolicy("manual") }

func undated(c *rotator.Candidate) { c.Credential.LastRotated = "" }

func pending(c *rotator.Candidate) {
	c.Credential.Pending = &rotator.Pending{Claim: rotator.Claim{Owner: "somebody"}}
}

func onB(c *rotator.Candidate) { c.Credential.Origin = serverB }

func unlisted(c *rotator.Candidate) { c.Unlisted = errors.New("not listed") }

func malformed(c *rotator.Candidate) { c.Err = rotator.ErrMalformed }

func unreadable(c *rotator.Candidate) {
	*c = rotator.Candidate{Name: c.Name, Err: rotator.ErrForbidden}
}

func foreign(c *rotator.Candidate) { *c = rotator.Candidate{Name: "README", Ignored: true} }

func key(version crypto.KeyVersion) func(*rotator.Candidate) {
	return func(c *rotator.Candidate) { c.Credential.KeyVersion = version }
}

func user(name string) func(*rotator.Candidate) {
	return func(c *rotator.Candidate) { c.Credential.Username = name }
}

// The planned action reads "tenant action" or, for unchanged tenants, "tenant outcome",
// in the plan's order; tenants by their last digit.
func TestPlan(t *testing.T) {
	all := sweep.Selection{All: true, RotatedBefore: noon}
	tests := []struct {
		name       string
		candidates []rotator.Candidate
		sel        sweep.Selection
		want       string
	}{
		{"nobody", nil, sweep.Selection{}, ""},
		{"due", []rotator.Candidate{entry(t1, 31)}, sweep.Selection{}, "1 rotate"},
		{"due to the second", []rotator.Candidate{entry(t1, 30)}, sweep.Selection{}, "1 rotate"},
		{"not due", []rotator.Candidate{entry(t1, 29)}, sweep.Selection{}, "1 fresh"},
		{"manual", []rotator.Candidate{entry(t1, 999, manual)}, sweep.Selection{}, "1 fresh"},
		{"of unknown age", []rotator.Candidate{entry(t1, 0, undated)}, sweep.Selection{}, "1 rotate"},
		{"half-finished though not due", []rotator.Candidate{entry(t1, 1, pending)}, sweep.Selection{}, "1 finish"},
		{"half-finished and manual", []rotator.Candidate{entry(t1, 1, pending, manual)}, sweep.Selection{}, "1 finish"},
		{"malformed", []rotator.Candidate{entry(t1, 99, malformed)}, sweep.Selection{}, "1 invalid"},
		{"malformed with a pending password", []rotator.Candidate{entry(t1, 99, pending, malformed)}, sweep.Selection{}, "1 invalid"},
		{"unreadable", []rotator.Candidate{entry(t1, 99, unreadable)}, sweep.Selection{}, "1 invalid"},
		{"foreign", []rotator.Candidate{entry(t1, 99, foreign)}, sweep.Selection{}, "README ignored"},
		{"due, origin not listed", []rotator.Candidate{entry(t1, 99, unlisted)}, sweep.Selection{}, "1 invalid"},
		{"half-finished, origin not listed", []rotator.Candidate{entry(t1, 1, pending, unlisted)}, sweep.Selection{}, "1 invalid"},
		{"not due, origin not listed", []rotator.Candidate{entry(t1, 1, unlisted)}, sweep.Selection{}, "1 fresh"},

		{"all: young and manual ones too", []rotator.Candidate{entry(t1, 1), entry(t2, 2, manual)}, all, "2 rotate, 1 rotate"},
		{"all: rotated at the cut-off", []rotator.Candidate{entry(t1, 0)}, all, "1 fresh"},
		{
			"all: an earlier cut-off", []rotator.Candidate{entry(t1, 1), entry(t2, 2), entry(t3, 3)},
			sweep.Selection{All: true, RotatedBefore: noon.AddDate(0, 0, -2)}, "3 rotate, 2 fresh, 1 fresh",
		},
		{
			"all: a cut-off finer than what is stored", []rotator.Candidate{entry(t1, 0)},
			sweep.Selection{All: true, RotatedBefore: noon.Add(999 * time.Microsecond)}, "1 fresh",
		},
		{
			"all: a last_rotated that cannot be believed", []rotator.Candidate{entry(t1, -1), entry(t2, 0, undated)},
			all, "1 rotate, 2 rotate",
		},
		{"all: of unknown age, without a cut-off", []rotator.Candidate{entry(t1, 0, undated)}, sweep.Selection{All: true}, "1 rotate"},
		{
			"all: rotated at the cut-off, yet sealed with an older key", []rotator.Candidate{entry(t1, 0, key(2)), entry(t2, 0, key(3)), entry(t3, 0)},
			sweep.Selection{All: true, RotatedBefore: noon, NewestKey: 3}, "1 rotate, 3 rotate, 2 fresh",
		},
		{
			"due: an older key alone is no reason", []rotator.Candidate{entry(t1, 1, key(2))},
			sweep.Selection{NewestKey: 3}, "1 fresh",
		},
		{"all: half-finished since the cut-off", []rotator.Candidate{entry(t1, 0, pending)}, all, "1 finish"},

		{
			"pending only", []rotator.Candidate{entry(t1, 99), entry(t2, 1, pending), entry(t3, 99, malformed)},
			sweep.Selection{PendingOnly: true}, "2 finish, 3 invalid, 1 fresh",
		},
		{
			"pending only wins over all", []rotator.Candidate{entry(t1, 99)},
			sweep.Selection{PendingOnly: true, All: true, RotatedBefore: noon}, "1 fresh",
		},

		{
			"oldest first", []rotator.Candidate{entry(t1, 40), entry(t2, 60), entry(t3, 50), entry(t4, 0, undated)},
			sweep.Selection{}, "4 rotate, 2 rotate, 3 rotate, 1 rotate",
		},
		{
			"same age by name", []rotator.Candidate{entry(t3, 40), entry(t1, 40), entry(t2, 40)},
			sweep.Selection{}, "1 rotate, 2 rotate, 3 rotate",
		},
		{
			"half-finished first, failures before what is fresh",
			[]rotator.Candidate{entry(t1, 1), entry(t2, 99, malformed), entry(t3, 99), entry(t4, 1, pending)},
			sweep.Selection{}, "4 finish, 3 rotate, 2 invalid, 1 fresh",
		},

		{
			"limit takes the oldest", []rotator.Candidate{entry(t1, 40), entry(t2, 60), entry(t3, 50)},
			sweep.Selection{Limit: 2}, "2 rotate, 3 rotate, 1 deferred",
		},
		{
			"limit does not count what is finished", []rotator.Candidate{entry(t1, 1, pending), entry(t2, 2, pending), entry(t3, 99), entry(t4, 98)},
			sweep.Selection{Limit: 1}, "2 finish, 1 finish, 3 rotate, 4 deferred",
		},
		{
			"limit does not count what cannot be rotated",
			[]rotator.Candidate{entry(t1, 99, unlisted), entry(t2, 98, malformed), entry(t3, 97, manual), entry(t4, 40)},
			sweep.Selection{Limit: 1}, "4 rotate, 1 invalid, 2 invalid, 3 fresh",
		},
		{"limit beyond the fleet", []rotator.Candidate{entry(t1, 40)}, sweep.Selection{Limit: 9}, "1 rotate"},

		{
			"narrowed to tenants", []rotator.Candidate{entry(t1, 99), entry(t2, 98), entry(t3, 97)},
			sweep.Selection{Tenants: []rotator.TenantID{t3, t1}}, "1 rotate, 3 rotate",
		},
		{
			"narrowed to a server", []rotator.Candidate{entry(t1, 99), entry(t2, 98, onB), entry(t3, 97, foreign)},
			sweep.Selection{Origins: []rotator.Origin{serverB}}, "2 rotate",
		},
		{
			"narrowed to a server, with one that may belong to it", []rotator.Candidate{entry(t1, 99), entry(t2, 98, unreadable)},
			sweep.Selection{Origins: []rotator.Origin{serverB}}, "2 invalid",
		},
		{
			"narrowed to both", []rotator.Candidate{entry(t1, 99), entry(t2, 98, onB), entry(t3, 97, onB)},
			sweep.Selection{Tenants: []rotator.TenantID{t1, t2}, Origins: []rotator.Origin{serverB}}, "2 rotate",
		},

		{
			"rivals", []rotator.Candidate{entry(t1, 99, user("a@x")), entry(t2, 1, user("a@x")), entry(t3, 98)},
			sweep.Selection{}, "3 rotate, 1 invalid, 2 invalid",
		},
		{"rivals by case", []rotator.Candidate{entry(t1, 99, user("A@X")), entry(t2, 98, user("a@x"))}, sweep.Selection{}, "1 invalid, 2 invalid"},
		{"no rivals on two servers", []rotator.Candidate{entry(t1, 99, user("a@x")), entry(t2, 98, user("a@x"), onB)}, sweep.Selection{}, "1 rotate, 2 rotate"},
		{"a malformed rival", []rotator.Candidate{entry(t1, 99, user("a@x")), entry(t2, 98, user("a@x"), malformed)}, sweep.Selection{}, "1 invalid, 2 invalid"},
		{"a half-finished rival", []rotator.Candidate{entry(t1, 99, user("a@x")), entry(t2, 98, user("a@x"), pending)}, sweep.Selection{}, "1 invalid, 2 invalid"},
		{"unreadable ones are no rivals", []rotator.Candidate{entry(t1, 99, unreadable), entry(t2, 98, unreadable)}, sweep.Selection{}, "1 invalid, 2 invalid"},
		{
			"a rival beyond what the run covers", []rotator.Candidate{entry(t1, 99, user("a@x")), entry(t2, 98, user("a@x"))},
			sweep.Selection{Tenants: []rotator.TenantID{t1}}, "1 invalid",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			plan := sweep.Plan(noon, test.candidates, test.sel)

			if got := planText(plan); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestEveryDecisionGivesItsReason(t *testing.T) {
	tests := []struct {
		candidate rotator.Candidate
		sel       sweep.Selection
		reason    string
	}{
		{entry(t1, 31), sweep.Selection{}, "due since 2026-11-22"},
		{entry(t1, 29), sweep.Selection{}, "not due before 2026-11-24"},
		{entry(t1, 31, manual), sweep.Selection{}, "manual"},
		{entry(t1, 0, undated), sweep.Selection{}, "age is unknown"},
		{entry(t1, 0, pending), sweep.Selection{}, "half-finished rotation by somebody"},
		{entry(t1, 9), sweep.Selection{PendingOnly: true}, "nothing half-finished"},
		{entry(t1, 9), sweep.Selection{All: true, RotatedBefore: noon}, "asked for"},
		{entry(t1, 0), sweep.Selection{All: true, RotatedBefore: noon}, "rotated since 2026-11-23T12:00:00.000Z"},
		{entry(t1, 9, malformed), sweep.Selection{}, "malformed"},
		{entry(t1, 99, unlisted), sweep.Selection{}, "not listed"},
		{entry(t1, 9, foreign), sweep.Selection{}, "not a tenant id"},
	}
	for _, test := range tests {
		t.Run(test.reason, func(t *testing.T) {
			plan := sweep.Plan(noon, []rotator.Candidate{test.candidate}, test.sel)

			if !strings.Contains(plan[0].Reason, test.reason) {
				t.Errorf("got %q", plan[0].Reason)
			}
		})
	}
}

func TestRivalsAreToldWhoseUserTheyShare(t *testing.T) {
	plan := sweep.Plan(noon, []rotator.Candidate{entry(t1, 99, user("a@x")), entry(t2, 98, user("a@x"))}, sweep.Selection{})

	for _, d := range plan {
		if d.Err == nil || !strings.Contains(d.Reason, "2 tenants name the user a@x on "+string(serverA)) {
			t.Errorf("got %q, %v", d.Reason, d.Err)
		}
	}
}

func planText(plan []sweep.Decision) string {
	words := make([]string, len(plan))
	for i, d := range plan {
		what := string(d.Outcome)
		switch d.Action {
		case rotator.Rotate:
			what = "rotate"
		case rotator.Finish:
			what = "finish"
		}
		words[i] = fmt.Sprintf("%s %s", strings.TrimLeft(d.Name[max(0, len(d.Name)-12):], "0"), what)
	}
	return strings.Join(words, ", ")
}
