package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

const day = 24 * time.Hour

func TestAgeIsInDaysAndFinerBelowTwo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-1:                            "-",
		0:                             "0s",
		59*time.Second + 900e6:        "59s",
		61 * time.Minute:              "1h",
		47*time.Hour + 59*time.Minute: "47h",
		48 * time.Hour:                "2d",
		180*day - 1:                   "179d",
		180 * day:                     "180d",
		100_000 * day:                 "100000d",
	} {
		if got := age(d); got != want {
			t.Errorf("age of %s: %q, want %q", d, got, want)
		}
	}
}

func TestTableIsAligned(t *testing.T) {
	var out strings.Builder
	report := sweep.Report{Rows: []sweep.Row{
		{Tenant: "short", User: "a@b.example", Origin: "https://b.example", LastRotated: "2026-01-02T03:04:05Z", Age: 2 * day, Outcome: rotator.Fresh},
		{Tenant: "a tenant with a longer name", Age: -1, Outcome: rotator.Invalid, Reason: "malformed"},
	}}

	must(t, printReport(&out, report, "table", true))

	lines := strings.Split(out.String(), "\n")
	for _, column := range []string{"USER", "ORIGIN", "LAST ROTATED", "AGE", "OUTCOME", "REASON"} {
		at := strings.Index(lines[0], column)
		for _, line := range lines[1:3] {
			if len(line) > at && (line[at-1] != ' ' || line[at] == ' ') {
				t.Errorf("column %s is not aligned:\n%s", column, &out)
			}
		}
	}
}

func TestWideCharactersDoNotMoveColumns(t *testing.T) {
	var out strings.Builder
	report := sweep.Report{Rows: []sweep.Row{
		{Tenant: "a", User: "用户@例子.example", Origin: "https://b.example", Outcome: rotator.Fresh},
		{Tenant: "b", User: "user4@site.example", Origin: "https://b.example", Outcome: rotator.Fresh},
	}}

	must(t, printReport(&out, report, "table", true))

	// Each of the four takes two cells of a terminal.
	for _, row := range []string{"\na       用户@例子.example   https://", "\nb       user4@site.example  https://"} {
		if !strings.Contains(out.String(), row) {
			t.Errorf("no row %q in:\n%s", row, &out)
		}
	}
}

func TestTableQuotesWhatATerminalWouldObey(t *testing.T) {
	for value, want := range map[string]string{
		"":                         "-",
		"admin@domäne.example":     "admin@domäne.example",
		"\x1b[2Jgone":              `"\x1b[2Jgone"`,
		"two\nlines":               `"two\nlines"`,
		"a\tb":                     `"a\tb"`,
		"right\u202eto left":       `"right\u202eto left"`,
		"zero\u200bwidth":          `"zero\u200bwidth"`,
		"broken \xff\xfe":          `"broken \xff\xfe"`,
		"\u009b31m (8-bit escape)": `"\u009b31m (8-bit escape)"`,
	} {
		if got := cell(value); got != want {
			t.Errorf("cell %q: %s, want %s", value, got, want)
		}
	}
}

func TestReasonCannotBreakTheTable(t *testing.T) {
	var out strings.Builder
	rows := []sweep.Row{{Tenant: "x", Outcome: rotator.Failed, Reason: "first\nsecond\x1b[0m"}}

	must(t, printReport(&out, sweep.Report{Rows: rows}, "table", true))

	if strings.Contains(out.String(), "\nsecond") || strings.Contains(out.String(), "\x1b") {
		t.Errorf("printed raw:\n%q", out.String())
	}
}

func TestSummaryCountsOutcomesInOrder(t *testing.T) {
	start := time.Date(2026, 11, 23, 10, 0, 0, 125e6, time.UTC)
	report := sweep.Report{
		Started: start, Finished: start.Add(1234 * time.Millisecond), RotatedBefore: start,
		Rows: rows(rotator.Invalid, rotator.Rotated, rotator.Fresh, rotator.Rotated),
	}

	got := newReportJSON(report).summary(nil)

	want := "4 tenants: 2 rotated, 1 fresh, 1 invalid in 1.23s\n" +
		"to go on where this run ended: --run-now --rotated-before 2026-11-23T10:00:00.125Z"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSummaryOfADryRunCountsUsersByTheirPlan(t *testing.T) {
	for name, test := range map[string]struct {
		plans []rotator.UserPlan
		want  string
	}{
		"additions":       {[]rotator.UserPlan{"created", "taken over", "resumed", "taken over"}, "\nusers in Mailu: 2 taken over (password replaced), 1 created, 1 resumed"},
		"none taken over": {[]rotator.UserPlan{"created"}, "\nusers in Mailu: 1 created"},
		"no additions":    {[]rotator.UserPlan{"", ""}, ""},
	} {
		report := sweep.Report{DryRun: true}
		for _, plan := range test.plans {
			report.Rows = append(report.Rows, sweep.Row{Outcome: rotator.Planned, UserPlan: plan})
		}

		got := newReportJSON(report).summary(map[rotator.Outcome]int{rotator.Fresh: 3})

		if want := fmt.Sprintf("%s: %d planned (dry run: nothing was changed)%s\n3 fresh not shown; --all", tenants(len(test.plans)), len(test.plans), test.want); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestSummaryCountsWhatTheTableDoesNotShow(t *testing.T) {
	var out strings.Builder
	all := slices.Concat(slices.Repeat(rows(rotator.Failed), 2), slices.Repeat(rows(rotator.Fresh), 1_009_812), slices.Repeat(rows(rotator.Deferred), 1000), rows(rotator.Rotated))

	must(t, printReport(&out, sweep.Report{Rows: all}, "table", false))

	want := regexp.MustCompile(`^TENANT .*\n.* rotated\n.* failed\n.* failed\n\n` +
		`1,010,815 tenants: 1 rotated, 1,009,812 fresh, 1,000 deferred, 2 failed in 0s\n1,009,812 fresh, 1,000 deferred not shown; --all\n$`)
	if !want.MatchString(out.String()) {
		t.Error(out.String())
	}
}

func TestVerificationShowsWhatNeedsSomebody(t *testing.T) {
	for name, test := range map[string]struct {
		finding rotator.Finding
		want    bool
	}{
		"ok":                   {rotator.Finding{State: rotator.StateOK}, false},
		"the server not asked": {rotator.Finding{State: rotator.StateUnproven, Reason: "verify: none"}, false},
		"not a tenant":         {rotator.Finding{State: rotator.StateIgnored, Reason: "no UUID"}, false},

		"an account that is disabled":     {rotator.Finding{State: rotator.StateOK, Reason: "disabled"}, true},
		"repaired":                        {rotator.Finding{State: rotator.StateOK, Repaired: true, Reason: "pushed"}, true},
		"a record that deletes itself":    {rotator.Finding{State: rotator.StateOK, Vanishing: true}, true},
		"a hash of another kind":          {rotator.Finding{State: rotator.StateUnproven, Unprovable: true}, true},
		"a rotation in another process":   {rotator.Finding{State: rotator.StatePending, UnderWay: true}, true},
		"Mailu holds another password":    {rotator.Finding{State: rotator.StateDrift}, true},
		"a record that cannot be reached": {rotator.Finding{State: rotator.StateUnreachable}, true},
	} {
		var out strings.Builder

		must(t, printVerification(&out, sweep.VerifyReport{Findings: []rotator.Finding{test.finding}}, false, "table", false))

		if shown := strings.HasPrefix(out.String(), "TENANT"); shown != test.want || strings.Contains(out.String(), "not shown; --all") == test.want {
			t.Errorf("%s: shown is %t, want %t:\n%s", name, shown, test.want, &out)
		}
	}
}

func TestSummaryOffersToGoOnOnlyWhereThatMakesSense(t *testing.T) {
	cutoff := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	for name, report := range map[string]sweep.Report{
		"all done":   {RotatedBefore: cutoff, Rows: rows(rotator.Rotated, rotator.Fresh, rotator.Ignored)},
		"dry run":    {RotatedBefore: cutoff, DryRun: true, Rows: rows(rotator.Planned, rotator.Invalid)},
		"no cut-off": {Rows: rows(rotator.Failed)},
	} {
		if got := newReportJSON(report).summary(nil); strings.Contains(got, "--rotated-before") {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := newReportJSON(sweep.Report{RotatedBefore: cutoff, Rows: rows(rotator.Deferred)}).summary(nil); !strings.Contains(got, "--rotated-before") {
		t.Errorf("deferred: %s", got)
	}
}

func rows(outcomes ...rotator.Outcome) (all []sweep.Row) {
	for _, o := range outcomes {
		all = append(all, sweep.Row{Outcome: o})
	}
	return all
}

func TestReportThatCannotBePrintedIsAnError(t *testing.T) {
	for _, format := range []string{"table", "json"} {
		if err := printReport(fullDisk{}, sweep.Report{Rows: rows(rotator.Rotated)}, format, false); err == nil {
			t.Errorf("%s: a report that nobody saw counts as printed", format)
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestJSONOfAnEmptyReportHasNoNulls(t *testing.T) {
	var out strings.Builder

	must(t, printReport(&out, sweep.Report{}, "json", false))

	if strings.Contains(out.String(), "null") || !strings.Contains(out.String(), `"tenants": []`) {
		t.Error(out.String())
	}
}

func TestExitStatus(t *testing.T) {
	for _, c := range []struct {
		name        string
		outcomes    []rotator.Outcome
		interrupted bool
		want        int
	}{
		{"all done", []rotator.Outcome{rotator.Rotated, rotator.Finished, rotator.Fresh, rotator.Ignored}, false, exitDone},
		{"limited", []rotator.Outcome{rotator.Rotated, rotator.Deferred}, false, exitDone},
		{"planned", []rotator.Outcome{rotator.Planned}, false, exitDone},
		{"one failed", []rotator.Outcome{rotator.Rotated, rotator.Failed}, false, exitFailures},
		{"claimed", []rotator.Outcome{rotator.Claimed}, false, exitFailures},
		{"interrupted", []rotator.Outcome{rotator.Rotated, rotator.Deferred}, true, exitInterrupted},
		{"interrupted and failed", []rotator.Outcome{rotator.Failed}, true, exitInterrupted},
	} {
		err := statusOf(sweep.Report{Rows: rows(c.outcomes...)}.Failures(), c.interrupted)

		code := exitDone
		if status, ok := errors.AsType[*statusError](err); ok {
			code = status.code
		}
		if code != c.want {
			t.Errorf("%s: %d, want %d", c.name, code, c.want)
		}
	}
}

func TestTimesThatFlagsTake(t *testing.T) {
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	for text, want := range map[string]string{
		"2026-01-02T15:04:05Z":           "2026-01-02T15:04:05Z",
		"2026-01-02T15:04:05.123456789Z": "2026-01-02T15:04:05.123456789Z",
		"2026-01-02T15:04:05+02:00":      "2026-01-02T13:04:05Z",
		"2026-01-02":                     "2026-01-02T00:00:00Z",
		"2h":                             "2026-01-02T13:04:05Z",
		"1h30m":                          "2026-01-02T13:34:05Z",
	} {
		got, err := parseTime(text, now)
		must(t, err)
		if got.UTC().Format(time.RFC3339Nano) != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"yesterday", "2026-13-01", "15:04", "1767366245", "2026-01-02 15:04:05", "-2h", "0s", "2d"} {
		if got, err := parseTime(text, now); err == nil {
			t.Errorf("%q was taken for %s", text, got)
		}
	}
}

func TestACellIsBoundedAndNeverEmpty(t *testing.T) {
	for value, want := range map[string]string{
		"":                         "-",
		"admin@b.example":          "admin@b.example",
		strings.Repeat("ü", 254):   strings.Repeat("ü", 254),
		strings.Repeat("ü", 1<<20): strings.Repeat("ü", 254),
	} {
		if got := cell(value); got != want {
			t.Errorf("%.20q became %.300q", value, got)
		}
	}
}
