package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	prettytext "github.com/jedib0t/go-pretty/v6/text"

	"mailu-rotator/internal/text"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// palette colors words whose text already says the same.
type palette struct{ on bool }

// newPalette decides by when: "always", "never", or otherwise only for a terminal and
// without NO_COLOR. An explicit choice overrides the environment, as
// https://no-color.org requires.
func newPalette(when string, out io.Writer) palette {
	switch when {
	case "always":
		return palette{on: true}
	case "never":
		return palette{}
	}
	return palette{on: isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (p palette) green(s string) string  { return p.paint(s, prettytext.FgGreen) }
func (p palette) yellow(s string) string { return p.paint(s, prettytext.FgYellow) }
func (p palette) red(s string) string    { return p.paint(s, prettytext.FgRed) }
func (p palette) alarm(s string) string  { return p.paint(s, prettytext.Bold, prettytext.FgRed) }
func (p palette) dim(s string) string    { return p.paint(s, prettytext.Faint) }
func (p palette) bold(s string) string   { return p.paint(s, prettytext.Bold) }

func (p palette) paint(s string, with ...prettytext.Color) string {
	if !p.on {
		return s
	}
	return prettytext.Escape(s, prettytext.Colors(with).EscapeSeq())
}

func tenants(n int) string {
	if n == 1 {
		return "1 tenant"
	}
	return thousands(n) + " tenants"
}

// maxCell limits the text from a record, in characters: no user is longer.
const maxCell = 254

// cell keeps an empty column's place.
func cell(s string) string {
	if s == "" {
		return "-"
	}
	return text.Quote(fmt.Sprintf("%.*s", maxCell, s))
}

// age is in days, like policies, and in smaller units below two days.
func age(d time.Duration) string {
	switch {
	case d < 0:
		return "-"
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return d.Truncate(time.Second).String()
}

func encodeJSON(out io.Writer, doc any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(doc); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return nil
}

// instant is in UTC, like the records; empty if t is zero.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// span is a duration that may be unknown; in JSON it is in seconds, or null.
type span struct {
	time.Duration
	known bool
}

func spanOf(d time.Duration, known bool) span { return span{d, known} }

// String is the cell of a table.
func (s span) String() string {
	switch {
	case !s.known:
		return "-"
	case s.Duration < 0:
		return "-" + age(-s.Duration)
	}
	return age(s.Duration)
}

func (s span) seconds() string {
	if !s.known {
		return ""
	}
	return strconv.FormatInt(int64(s.Duration/time.Second), 10)
}

func (s span) MarshalJSON() ([]byte, error) { return []byte(cmp.Or(s.seconds(), "null")), nil }

// reportJSON is the document of --output json; docs/report.md describes it.
type reportJSON struct {
	sweep.Report
	Summary  map[rotator.Outcome]int  `json:"summary"`
	Users    map[rotator.UserPlan]int `json:"users,omitempty"`
	Failures int                      `json:"failures"`
	Tenants  []rowJSON                `json:"tenants"`
}

// rowJSON repeats outcome and reason so that they come after the age.
type rowJSON struct {
	sweep.Row
	AgeSeconds span            `json:"age_seconds"`
	Outcome    rotator.Outcome `json:"outcome"`
	Failed     bool            `json:"failed"` // a failed login is not a failed rotation
	Reason     string          `json:"reason,omitempty"`
}

func newReportJSON(r sweep.Report) reportJSON {
	r.Started, r.Finished, r.RotatedBefore = r.Started.UTC(), r.Finished.UTC(), r.RotatedBefore.UTC()
	doc := reportJSON{
		Report: r, Summary: map[rotator.Outcome]int{}, Users: map[rotator.UserPlan]int{},
		Failures: r.Failures(), Tenants: make([]rowJSON, len(r.Rows)),
	}
	for i, row := range r.Rows {
		doc.Summary[row.Outcome]++
		if row.UserPlan != "" {
			doc.Users[row.UserPlan]++
		}
		doc.Tenants[i] = rowJSON{row, spanOf(row.Age, row.Age >= 0), row.Outcome, row.Outcome.Failure(), row.Reason}
	}
	return doc
}

// printReport shows in a table what changed and what failed, and the rest only if all
// is set. JSON always has every tenant.
func printReport(out io.Writer, r sweep.Report, format string, all bool) error {
	doc := newReportJSON(r)
	if format == "json" {
		return encodeJSON(out, doc)
	}
	rows, omitted := arrange(doc.Tenants, all, func(r rowJSON) (kind rotator.Outcome, quiet, failed bool) {
		return r.Outcome, slices.Contains([]rotator.Outcome{rotator.Fresh, rotator.Deferred, rotator.Ignored}, r.Outcome), r.Failed || r.Login.Problem()
	})
	t := newGrid("TENANT", "USER", "ORIGIN", "LAST ROTATED", "AGE", "OUTCOME", "REASON")
	t.optional = []string{"LAST ROTATED", "ORIGIN", "TENANT"}
	for _, row := range rows {
		t.add(cell(row.Tenant), cell(row.User), cell(string(row.Origin)),
			cell(row.LastRotated), row.AgeSeconds, string(row.Outcome), text.Quote(row.Reason))
	}
	return printTable(out, t, doc.summary(omitted))
}

// summary is the number of tenants by outcome, also of those that the table omits, and
// of users by what an addition would do with them; and the command that continues the
// run.
func (doc reportJSON) summary(omitted map[rotator.Outcome]int) string {
	text := tenants(len(doc.Rows)) + ": " + strings.Join(counts(doc.Summary, rotator.Outcomes()), ", ")
	hidden := notShown(counts(omitted, rotator.Outcomes()))
	if doc.DryRun {
		return text + " (dry run: nothing was changed)" + doc.plannedUsers() + hidden
	}
	text += fmt.Sprintf(" in %s", doc.Finished.Sub(doc.Started).Round(10*time.Millisecond)) + hidden
	if n := doc.FailedLogins(); n > 0 {
		text += fmt.Sprintf("\nfailed logins with new passwords that are right by Mailu's hash: %d, so see to the mail service, not to the passwords", n)
	}
	if !doc.RotatedBefore.IsZero() && doc.Incomplete() {
		text += "\nto go on where this run ended: --run-now --rotated-before " + instant(doc.RotatedBefore)
	}
	return text
}

// plannedUsers is the line of a dry run's summary that says which users lose a password.
func (doc reportJSON) plannedUsers() string {
	users := counts(doc.Users, rotator.UserPlans())
	if len(users) == 0 {
		return ""
	}
	if doc.Users[rotator.UserToBeTakenOver] > 0 {
		users[0] += " (password replaced)"
	}
	return "\nusers in Mailu: " + strings.Join(users, ", ")
}
