package main

import (
	"strings"
	"testing"
)

// A run with the cut-off 10 begins at 10 and, where it ends, ends at 20.
func TestEachPasswordHasAReason(t *testing.T) {
	going := &emergency{cutoff: second(10), began: second(10)}
	ended := &emergency{cutoff: second(10), began: second(10), ended: second(20), status: 2}
	tests := []struct {
		name        string
		run         *emergency
		policy      string
		rotated, at int
		want        string
	}{
		{"older than the cut-off", ended, "manual", 9, 15, ""},
		{"at the cut-off", ended, "manual", 10, 15, "without a reason"},
		{"before the run", ended, "manual", 5, 9, "without a reason"},
		{"after the run", ended, "manual", 9, 21, "after the run that asked for it had ended"},
		{"of a run that was killed", going, "manual", 9, 21, ""},
		{"due", ended, "1_days", 15, 15 + 24*60*60, ""},
		{"not yet due", ended, "1_days", 15, 14 + 24*60*60, "without a reason"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := &runs{all: []*emergency{test.run}}
			h := history{versions: []version{
				{number: 1, at: second(1), rotated: second(test.rotated), policy: test.policy},
				{number: 2, at: second(test.at), rotated: second(test.rotated), policy: test.policy, pending: "p2"},
			}}

			got := r.judgeReasons(h)

			if test.want == "" && len(got) > 0 || test.want != "" && (len(got) != 1 || !strings.Contains(got[0].what, test.want)) {
				t.Errorf("found %v, want %q", got, test.want)
			}
		})
	}
}

func TestARunThatReportsSuccessHasRenewedEveryPassword(t *testing.T) {
	run := func(status int) *runs {
		return &runs{all: []*emergency{{cutoff: second(10), began: second(10), ended: second(20), status: status}}}
	}
	rotatedAt := func(n int) history {
		return history{versions: []version{{at: second(1), rotated: second(1)}, {at: second(n), rotated: second(n)}}}
	}
	tests := []struct {
		name   string
		status int
		at     int
		want   int
	}{
		{"in time", 0, 15, 0},
		{"later", 0, 21, 1},
		{"later, and the run said so", 2, 21, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := run(test.status).judgeReasons(rotatedAt(test.at)); len(got) != test.want {
				t.Errorf("found %v, want %d", got, test.want)
			}
		})
	}
}

func TestARowWithoutAResultIsFound(t *testing.T) {
	const row = `{"outcome":"blocked","reason":"no worker reported a result: the next run sees what was done"}`

	if got := judgeReport(row + row); len(got) != 1 || !strings.Contains(got[0].what, "2 of its tenants") {
		t.Errorf("found %v", got)
	}
	if got := judgeReport(`{"outcome":"rotated"}`); len(got) != 0 {
		t.Errorf("found %v", got)
	}
}
