package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/robfig/cron/v3"

	"mailu-rotator/internal/monitor"
	"mailu-rotator/rotator"
)

// statusTime is a Monday noon; sweeps are at three and end by ten past nine.
var statusTime = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func nightly(t *testing.T) rotator.Timetable {
	t.Helper()
	schedule, err := cron.ParseStandard("0 3 * * *")
	must(t, err)
	return rotator.Timetable{Schedule: schedule, Timezone: time.UTC, Jitter: 10 * time.Minute, Window: 6 * time.Hour}
}

// aged returns a tenant whose password is that many days old.
func aged(n int, policy string, days int, edits ...func(*rotator.Candidate)) rotator.Status {
	id := rotator.TenantID(fmt.Sprintf("0f8fad5b-d9cb-469f-a165-%012d", n))
	parsed, _ := rotator.ParsePolicy(policy)
	c := rotator.Candidate{Name: string(id), Credential: rotator.Credential{
		Tenant: id, Username: fmt.Sprintf("admin@tenant%d.example", n), Origin: "https://mail.example.com", Policy: parsed,
		LastRotated: statusTime.AddDate(0, 0, -days).Format(time.RFC3339),
	}}
	for _, edit := range edits {
		edit(&c)
	}
	return rotator.StatusOf(statusTime, c, 1)
}

func candidateError(text string) func(*rotator.Candidate) {
	return func(c *rotator.Candidate) { c.Err = fmt.Errorf("malformed record, fix it in Vault: %s", text) }
}

func named(user string) func(*rotator.Candidate) {
	return func(c *rotator.Candidate) { c.Credential.Username = user }
}

func halfFinished(c *rotator.Candidate) {
	c.Credential.Pending = &rotator.Pending{
		LastRotated: "2026-11-23T03:04:05Z",
		Claim:       rotator.Claim{Owner: "ops1/4711/deadbeef", Until: statusTime.Add(-8 * time.Hour)},
	}
}

// sampleFleet has a tenant in each state.
func sampleFleet() []rotator.Status {
	return []rotator.Status{
		aged(1, "180_days", 3), aged(2, "180_days", 175), aged(3, "180_days", 160, named("用户@例子.example")), aged(4, "manual", 999),
		aged(5, "180_days", 180), aged(6, "90_days", 200), aged(7, "180_days", 1, halfFinished),
		aged(8, "", 5, named(""), candidateError("username is missing")),
		{Tenant: "shared", Ignored: true},
		aged(10, "180_days", 0, func(c *rotator.Candidate) { c.Credential.LastRotated = "" }),
	}
}

func printedStatus(t *testing.T, all []rotator.Status, states []rotator.PolicyState, limit int, format string, color bool) string {
	t.Helper()
	r := newStatusReport(all, nil, statusTime, nightly(t))
	r.filter(states, limit)
	var out strings.Builder
	must(t, printStatus(&out, r, format, palette{on: color}))
	return out.String()
}

func TestStatusTableHasTotalsThenTheMostUrgent(t *testing.T) {
	got := printedStatus(t, sampleFleet(), rotator.PolicyStates(), 0, "table", false)

	want := `10 tenants: 1 overdue, 1 invalid, 1 pending, 2 due, 4 ok, 1 ignored
oldest 999d; next due 2026-11-28; due within 7 days: 1, within 30: 2

STATE     LEFT   AGE  POLICY    USER                                  SERVER            LAST OUTCOME
overdue  -110d  200d  90_days   admin@tenant6.example                 mail.example.com  rotated 2026-05-07
invalid      -    5d  -         0f8fad5b-d9cb-469f-a165-000000000008  mail.example.com  invalid: malformed record, fix it in Vault: username is missing
pending   179d   24h  180_days  admin@tenant7.example                 mail.example.com  unfinished 2026-11-23: half-finished rotation by ops1/4711/deadbeef
due          -     -  180_days  admin@tenant10.example                mail.example.com  -
due         0s  180d  180_days  admin@tenant5.example                 mail.example.com  rotated 2026-05-27
ok          5d  175d  180_days  admin@tenant2.example                 mail.example.com  rotated 2026-06-01
ok         20d  160d  180_days  用户@例子.example                     mail.example.com  rotated 2026-06-16
ok        177d    3d  180_days  admin@tenant1.example                 mail.example.com  rotated 2026-11-20
ok           -  999d  manual    admin@tenant4.example                 mail.example.com  rotated 2024-02-28
ignored      -     -  -         shared                                -                 ignored: not a tenant id (a UUID version 4): not touched
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestStatusTableIsNarrowWhereAllIsWell(t *testing.T) {
	got := printedStatus(t, []rotator.Status{aged(1, "180_days", 3), aged(2, "180_days", 175)}, rotator.PolicyStates(), 0, "table", false)

	for line := range strings.Lines(got) {
		if n := len(line) - 1; n > 100 {
			t.Errorf("%d cells: %s", n, line)
		}
	}
}

func TestStatusWideHasTheTenantsIDAndDates(t *testing.T) {
	got := printedStatus(t, []rotator.Status{aged(6, "90_days", 200)}, rotator.PolicyStates(), 0, "wide", false)

	want := `1 tenant: 1 overdue
oldest 200d; nothing else falls due

STATE     LEFT  DUE          AGE  LAST ROTATED          POLICY   TENANT                                USER                   ORIGIN                    LAST OUTCOME
overdue  -110d  2026-08-05  200d  2026-05-07T12:00:00Z  90_days  0f8fad5b-d9cb-469f-a165-000000000006  admin@tenant6.example  https://mail.example.com  rotated 2026-05-07
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestStatusSaysWhatIsNotShown(t *testing.T) {
	due := []rotator.PolicyState{rotator.PolicyStateDue, rotator.PolicyStateOverdue}
	for _, test := range []struct {
		name   string
		states []rotator.PolicyState
		limit  int
		want   string
		rows   int
	}{
		{"all", rotator.PolicyStates(), 0, "", 10},
		{"a limit that leaves nothing out", rotator.PolicyStates(), 10, "", 10},
		{"a limit", rotator.PolicyStates(), 4, "\nshown: 4 of 10, the most urgent; --limit leaves out 6\n", 4},
		{"some states", due, 0, "\nshown: 3 of 10\n", 3},
		{"some states, and a limit", due, 2, "\nshown: 2 of 10, the most urgent; --limit leaves out 1\n", 2},
		{"none", nil, 0, "\nshown: 0 of 10\n", -1}, // nor a header
	} {
		got := printedStatus(t, sampleFleet(), test.states, test.limit, "table", false)

		if !strings.Contains(got, test.want) || strings.Contains(got, "shown:") != (test.want != "") {
			t.Errorf("%s: no %q in:\n%s", test.name, test.want, got)
		}
		_, table, _ := strings.Cut(got, "\n\n")
		if rows := strings.Count(table, "\n") - 1; rows != test.rows {
			t.Errorf("%s: %d rows, want %d:\n%s", test.name, rows, test.rows, got)
		}
		if !strings.HasPrefix(got, "10 tenants: 1 overdue, 1 invalid, 1 pending, 2 due, 4 ok, 1 ignored\n") {
			t.Errorf("%s: the totals are not over all:\n%s", test.name, got)
		}
	}
}

func TestStatusColorsNothingButStateWords(t *testing.T) {
	for _, format := range []string{"table", "wide"} {
		plain := printedStatus(t, sampleFleet(), rotator.PolicyStates(), 0, format, false)
		colored := printedStatus(t, sampleFleet(), rotator.PolicyStates(), 0, format, true)

		if strings.Contains(plain, "\x1b") || text.StripEscape(colored) != plain {
			t.Errorf("%s: color is not all that is added:\n%s", format, colored)
		}
		if !strings.Contains(colored, "\n\x1b[1;31moverdue\x1b[0m  ") || !strings.Contains(colored, "\x1b[32m4 ok\x1b[0m") {
			t.Errorf("%s: states have no color:\n%q", format, colored)
		}
	}
}

func TestStatusQuotesWhatATerminalWouldObey(t *testing.T) {
	evil := []rotator.Status{aged(1, "180_days", 3, named("a\x1b[2J@b.example"), candidateError("\x1b]0;owned\x07"))}

	for _, format := range []string{"table", "wide", "csv", "json"} {
		if got := printedStatus(t, evil, rotator.PolicyStates(), 0, format, false); strings.ContainsAny(got, "\x1b\x07") {
			t.Errorf("%s: %q", format, got)
		}
	}
}

func TestStatusOfADaemonsMemoryIsShown(t *testing.T) {
	tenant := aged(6, "90_days", 200)
	known := outcomes{tenant.Tenant: {Outcome: rotator.Failed, At: statusTime.Add(-9 * time.Hour), Reason: "no such user"}}
	r := newStatusReport([]rotator.Status{tenant}, known, statusTime, nightly(t))

	var out strings.Builder
	must(t, printStatus(&out, r, "table", palette{}))

	if !strings.Contains(out.String(), "failed 2026-11-23: no such user\n") {
		t.Error(out.String())
	}
}

func TestStatusShowsLoginsThatFailed(t *testing.T) {
	r := newStatusReport([]rotator.Status{aged(6, "90_days", 3)}, nil, statusTime, nightly(t))
	r.Logins = []monitor.LoginOutcome{
		{Origin: "https://a.example", State: rotator.LoginAccepted, At: statusTime},
		{Origin: "https://b.example", State: rotator.LoginRefused, At: statusTime, Reason: "535\x1b[2J"},
	}

	var out strings.Builder
	must(t, printStatus(&out, r, "table", palette{}))

	if !strings.Contains(out.String(), "login refused at https://b.example, 2026-11-23: 535") || strings.Contains(out.String(), "a.example") || strings.Contains(out.String(), "\x1b") {
		t.Error(out.String())
	}
}

func TestStatusCSVIsTheJSONInLines(t *testing.T) {
	var doc struct{ Tenants []map[string]any }
	must(t, json.Unmarshal([]byte(printedStatus(t, sampleFleet(), rotator.PolicyStates(), 0, "json", false)), &doc))
	lines, err := csv.NewReader(strings.NewReader(printedStatus(t, sampleFleet(), rotator.PolicyStates(), 0, "csv", false))).ReadAll()
	must(t, err)

	var fields []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[statusRow]()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields = append(fields, name)
	}
	if !slices.Equal(lines[0], fields) || len(lines) != len(doc.Tenants)+1 {
		t.Fatalf("%d lines, header %q, want %q", len(lines), lines[0], fields)
	}
	for i, line := range lines[1:] {
		for column, name := range fields {
			want := ""
			if value := doc.Tenants[i][name]; value != nil {
				want = fmt.Sprint(value)
			}
			if number, isNumber := doc.Tenants[i][name].(float64); isNumber {
				want = fmt.Sprintf("%.0f", number)
			}
			if line[column] != want {
				t.Errorf("line %d, %s: %q, want %q", i+1, name, line[column], want)
			}
		}
	}
}

func TestCSVCellsAreNoFormulas(t *testing.T) {
	for value, want := range map[string]string{
		"":                   "",
		"admin@b.example":    "admin@b.example",
		"=1+1":               "'=1+1",
		"+1":                 "'+1",
		"-1":                 "'-1",
		"@SUM(A1)":           "'@SUM(A1)",
		"＝1":                 "'＝1",
		"\t=1":               `"\t=1"`,
		"\r=1":               `"\r=1"`,
		`=HYPERLINK("x","y"`: `'=HYPERLINK("x","y"`,
	} {
		if got := csvText(value); got != want {
			t.Errorf("%q became %q, want %q", value, got, want)
		}
	}
}

func TestStatusThatCannotBePrintedIsAnError(t *testing.T) {
	for _, format := range []string{"table", "wide", "json", "csv"} {
		if err := printStatus(fullDisk{}, newStatusReport(sampleFleet(), nil, statusTime, nightly(t)), format, palette{}); err == nil {
			t.Errorf("%s: a status that nobody saw counts as printed", format)
		}
	}
}

func TestStatusJSONOfNothingShownHasNoNulls(t *testing.T) {
	got := printedStatus(t, sampleFleet(), nil, 0, "json", false)

	if strings.Contains(got, "null") || !strings.Contains(got, `"tenants": []`) {
		t.Error(got)
	}
}

// BenchmarkStatus prints 10,000 tenants.
func BenchmarkStatus(b *testing.B) {
	schedule, _ := cron.ParseStandard("0 3 * * *")
	timetable := rotator.Timetable{Schedule: schedule, Timezone: time.UTC, Window: 6 * time.Hour}
	fleet := make([]rotator.Status, 10_000)
	for i := range fleet {
		fleet[i] = aged(i, "180_days", i%200)
	}
	for _, format := range []string{"table", "wide", "json", "csv"} {
		b.Run(format, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var size counter
				if err := printStatus(&size, newStatusReport(slices.Clone(fleet), nil, statusTime, timetable), format, palette{on: true}); err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(size))
			}
		})
	}
}

type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
