package main

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	prettytext "github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"mailu-rotator/internal/text"
	"mailu-rotator/rotator"
)

// printStatusTable prints plain lines, for a pager as for a terminal. The narrow
// table has one screen line for each tenant: only there longer lines are cut.
func printStatusTable(out io.Writer, r *statusReport, wide bool, p palette) error {
	width := 0
	if !wide {
		width = screenWidth(out)
	}
	lines := r.totals(p)
	switch {
	case len(r.tenants) == 0: // the totals show it
	case wide:
		lines = append(lines, "", r.wide(p))
	default:
		lines = append(lines, "", r.narrow(p))
	}
	w := bufio.NewWriter(out)
	for line := range strings.SplitSeq(strings.Join(lines, "\n"), "\n") {
		fmt.Fprintln(w, prettytext.Snip(line, width, "…")) // Flush returns the first error
	}
	return w.Flush()
}

// totals come first: they are read most, and a pager shows them first.
func (r *statusReport) totals(p palette) []string {
	var counts []string
	for _, state := range rotator.Standings() {
		if n := r.count[state]; n > 0 {
			counts = append(counts, p.standing(fmt.Sprintf("%d %s", n, state), state))
		}
	}
	lines := []string{fmt.Sprintf("%s: %s", tenants(r.total), strings.Join(counts, ", "))}
	if r.oldest >= 0 {
		lines = append(lines, "oldest "+age(r.oldest)+"; "+r.upcoming())
	}
	if r.vanishing > 0 {
		lines = append(lines, p.alarm(fmt.Sprintf("records that delete themselves (delete_version_after), and their passwords with them: %d; mailu-rotator doctor says how to end that", r.vanishing)))
	}
	switch {
	case r.omitted > 0:
		lines = append(lines, fmt.Sprintf("shown: %d of %d, the most urgent; --limit leaves out %d", len(r.tenants), r.total, r.omitted))
	case len(r.tenants) < r.total:
		lines = append(lines, fmt.Sprintf("shown: %d of %d", len(r.tenants), r.total))
	}
	if r.daemonErr != nil {
		lines = append(lines, "last outcomes are those of the records: "+text.Quote(r.daemonErr.Error()))
	}
	return lines
}

func (r *statusReport) upcoming() string {
	if r.next.IsZero() {
		return "nothing else falls due"
	}
	return fmt.Sprintf("next due %s; due within 7 days: %d, within 30: %d", r.next.UTC().Format(time.DateOnly), r.week, r.month)
}

// narrow shows user and server instead of the tenant's id, which takes half a line and
// has no meaning for people. If a record names no user it shows the id.
func (r *statusReport) narrow(p palette) string {
	t := newTable("STATE", "LEFT", "AGE", "POLICY", "USER", "SERVER", "LAST OUTCOME")
	t.SetColumnConfigs([]table.ColumnConfig{right(2), right(3)})
	for _, s := range r.tenants {
		t.AppendRow(table.Row{
			p.standing(string(s.state), s.state), s.left(r.now), s.age(r.now), cell(s.Policy.String()),
			s.name(), cell(strings.TrimPrefix(string(s.Origin), "https://")), s.last(r.now),
		})
	}
	return t.Render()
}

func (r *statusReport) wide(p palette) string {
	t := newTable("STATE", "LEFT", "DUE", "AGE", "LAST ROTATED", "POLICY", "TENANT", "USER", "ORIGIN", "LAST OUTCOME")
	t.SetColumnConfigs([]table.ColumnConfig{right(2), right(4)})
	for _, s := range r.tenants {
		t.AppendRow(table.Row{
			p.standing(string(s.state), s.state), s.left(r.now), cell(date(s.Due)), s.age(r.now), cell(s.LastRotated), cell(s.Policy.String()),
			cell(s.Tenant), cell(s.User), cell(string(s.Origin)), s.last(r.now),
		})
	}
	return t.Render()
}

func right(column int) table.ColumnConfig {
	return table.ColumnConfig{Number: column, Align: prettytext.AlignRight, AlignHeader: prettytext.AlignRight}
}

func (s statusRow) name() string {
	if s.User == "" {
		return text.Quote(s.Tenant)
	}
	return text.Quote(s.User)
}

func (s statusRow) age(now time.Time) string {
	d, known := s.Age(now)
	if !known {
		return "-"
	}
	return age(d)
}

func (s statusRow) left(now time.Time) string {
	d, comes := s.Left(now)
	switch {
	case !comes:
		return "-"
	case d < 0:
		return "-" + age(-d)
	}
	return age(d)
}

// last formats the outcome, its date, and the reason.
func (s statusRow) last(now time.Time) string {
	outcome, at, reason := s.lastOutcome(now)
	words := cell(string(outcome))
	if day := date(at); day != "" {
		words += " " + day
	}
	if reason != "" {
		words += ": " + text.Quote(reason)
	}
	return words
}

// date is in UTC, like the records.
func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// standing colors a word that already names the state.
func (p palette) standing(word string, state rotator.Standing) string {
	switch state {
	case rotator.StandingOverdue, rotator.StandingInvalid:
		return p.alarm(word)
	case rotator.StandingPending, rotator.StandingDue:
		return p.yellow(word)
	case rotator.StandingOK:
		return p.green(word)
	}
	return word
}

// screenWidth is 0 if out is not a terminal.
func screenWidth(out io.Writer) int {
	file, isFile := out.(interface{ Fd() uintptr })
	if !isFile {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// statusJSON is the document of status --output json; docs/report.md
// describes it.
type statusJSON struct {
	Time            string                   `json:"time"`
	Summary         map[rotator.Standing]int `json:"summary"`
	Problems        int                      `json:"problems"`
	OldestSeconds   *int64                   `json:"oldest_seconds"`
	NextDue         string                   `json:"next_due,omitempty"`
	DueWithin7Days  int                      `json:"due_within_7_days"`
	DueWithin30Days int                      `json:"due_within_30_days"`
	BeyondLimit     int                      `json:"beyond_limit"`
	OutcomesFrom    string                   `json:"outcomes_from"`
	Tenants         []statusRowJSON          `json:"tenants"`
}

// statusRowJSON is also a line of CSV.
type statusRowJSON struct {
	State       string `json:"state"`
	Problem     bool   `json:"problem"`
	Tenant      string `json:"tenant"`
	User        string `json:"user,omitempty"`
	Origin      string `json:"origin,omitempty"`
	Policy      string `json:"policy,omitempty"`
	AgeSeconds  *int64 `json:"age_seconds"`
	LeftSeconds *int64 `json:"left_seconds"`
	Due         string `json:"due,omitempty"`
	LastRotated string `json:"last_rotated,omitempty"`
	Expires     string `json:"expires,omitempty"`
	Outcome     string `json:"outcome,omitempty"`
	OutcomeAt   string `json:"outcome_at,omitempty"`
	Reason      string `json:"reason,omitempty"`
}

func (s statusRow) json(now time.Time) statusRowJSON {
	age, ageKnown := s.Age(now)
	left, dueKnown := s.Left(now)
	outcome, at, reason := s.lastOutcome(now)
	return statusRowJSON{
		State: string(s.state), Problem: s.problem,
		Tenant: s.Tenant, User: s.User, Origin: string(s.Origin), Policy: s.Policy.String(),
		AgeSeconds: seconds(age, ageKnown), LeftSeconds: seconds(left, dueKnown), Due: instant(s.Due), LastRotated: s.LastRotated, Expires: instant(s.Expires),
		Outcome: string(outcome), OutcomeAt: instant(at), Reason: reason,
	}
}

func printStatusJSON(out io.Writer, r *statusReport) error {
	doc := statusJSON{
		Time: instant(r.now), Summary: r.count, Problems: r.problems,
		OldestSeconds: seconds(r.oldest, r.oldest >= 0), NextDue: instant(r.next),
		DueWithin7Days: r.week, DueWithin30Days: r.month, BeyondLimit: r.omitted, OutcomesFrom: r.source(), Tenants: make([]statusRowJSON, len(r.tenants)),
	}
	for i, s := range r.tenants {
		doc.Tenants[i] = s.json(r.now)
	}
	return encodeJSON(out, doc)
}

// source says where the last outcomes come from.
func (r *statusReport) source() string {
	if r.fromDaemon {
		return "daemon"
	}
	return "records"
}

var csvHeader = []string{
	"state", "problem", "tenant", "user", "origin", "policy", "age_seconds", "left_seconds",
	"due", "last_rotated", "expires", "outcome", "outcome_at", "reason",
}

func printStatusCSV(out io.Writer, r *statusReport) error {
	w := csv.NewWriter(out)
	_ = w.Write(csvHeader) // w.Error returns the first error
	for _, s := range r.tenants {
		j := s.json(r.now)
		_ = w.Write([]string{
			j.State, strconv.FormatBool(j.Problem), csvText(j.Tenant), csvText(j.User), csvText(j.Origin), j.Policy,
			csvNumber(j.AgeSeconds), csvNumber(j.LeftSeconds), j.Due, csvText(j.LastRotated), j.Expires, j.Outcome, j.OutcomeAt, csvText(j.Reason),
		})
	}
	w.Flush()
	return w.Error()
}

func csvNumber(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}

// csvText prevents a text that others have written into a record from being a formula
// when a spreadsheet opens the file: such a cell gets a leading apostrophe
// (https://owasp.org/www-community/attacks/CSV_Injection). Terminal control characters
// are quoted as in the tables; no cell begins with a tab or a line break.
func csvText(s string) string {
	s = text.Quote(s)
	if s != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(s)[0]) {
		return "'" + s
	}
	return s
}
