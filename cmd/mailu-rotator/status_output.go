package main

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	prettytext "github.com/jedib0t/go-pretty/v6/text"

	"mailu-rotator/internal/text"
	"mailu-rotator/rotator"
)

// printStatusTable prints plain lines, for a pager as for a terminal. Only the narrow
// table fits the terminal.
func printStatusTable(out io.Writer, r *statusReport, wide bool, p palette) error {
	lines := r.totals(p)
	switch {
	case len(r.Tenants) == 0: // the totals show it
	case wide:
		lines = append(lines, "", r.wide(p))
	default:
		lines = append(lines, "", r.narrow(p).render(terminalWidth(out)))
	}
	_, err := fmt.Fprintln(out, strings.Join(lines, "\n"))
	return err
}

// totals come first: they are read most, and a pager shows them first.
func (r *statusReport) totals(p palette) []string {
	var counts []string
	for _, state := range rotator.PolicyStates() {
		if n := r.Summary[state]; n > 0 {
			counts = append(counts, p.ofState(fmt.Sprintf("%d %s", n, state), state))
		}
	}
	if r.Total == 0 {
		return []string{tenants(0), r.Remark}
	}
	lines := []string{fmt.Sprintf("%s: %s", tenants(r.Total), strings.Join(counts, ", "))}
	if r.OldestSeconds.known {
		lines = append(lines, "oldest "+r.OldestSeconds.String()+"; "+r.upcoming())
	}
	if r.Vanishing > 0 {
		lines = append(lines, p.alarm(fmt.Sprintf("records that delete themselves (delete_version_after), and their passwords with them: %d; mailu-rotator doctor says how to end that", r.Vanishing)))
	}
	for _, login := range r.failedLogins() {
		lines = append(lines, p.alarm(text.Quote(fmt.Sprintf("login %s at %s, %s: %s", login.State, login.Origin, login.At.UTC().Format(time.DateOnly), login.Reason))))
	}
	switch {
	case r.BeyondLimit > 0:
		lines = append(lines, fmt.Sprintf("shown: %d of %d, the most urgent; --limit leaves out %d", len(r.Tenants), r.Total, r.BeyondLimit))
	case len(r.Tenants) < r.Total:
		lines = append(lines, fmt.Sprintf("shown: %d of %d", len(r.Tenants), r.Total))
	}
	if r.DaemonErr != nil {
		lines = append(lines, "last outcomes are those of the records: "+text.Quote(r.DaemonErr.Error()))
	}
	return lines
}

func (r *statusReport) upcoming() string {
	if r.NextDue.IsZero() {
		return "nothing else falls due"
	}
	return fmt.Sprintf("next due %s; due within 7 days: %d, within 30: %d", r.NextDue.Format(time.DateOnly), r.DueWithin7Days, r.DueWithin30Days)
}

// narrow shows user and server instead of the tenant's id, which takes half a line and
// has no meaning for people. If a record names no user it shows the id.
func (r *statusReport) narrow(p palette) *grid {
	t := newGrid("STATE", "LEFT", "AGE", "POLICY", "USER", "SERVER", "LAST OUTCOME")
	t.columns = []table.ColumnConfig{right(2), right(3)}
	t.optional = []string{"POLICY", "SERVER"}
	for _, s := range r.Tenants {
		t.add(
			p.ofState(string(s.State), s.State), s.LeftSeconds, s.AgeSeconds, cell(s.Policy),
			text.Quote(cmp.Or(s.User, s.Tenant)), cell(strings.TrimPrefix(string(s.Origin), "https://")), s.last(),
		)
	}
	return t
}

func (r *statusReport) wide(p palette) string {
	t := newTable("STATE", "LEFT", "DUE", "AGE", "LAST ROTATED", "POLICY", "TENANT", "USER", "ORIGIN", "LAST OUTCOME")
	t.SetColumnConfigs([]table.ColumnConfig{right(2), right(4)})
	for _, s := range r.Tenants {
		t.AppendRow(table.Row{
			p.ofState(string(s.State), s.State), s.LeftSeconds, cell(date(s.Due)), s.AgeSeconds, cell(s.LastRotated), cell(s.Policy),
			cell(s.Tenant), cell(s.User), cell(string(s.Origin)), s.last(),
		})
	}
	return t.Render()
}

func right(column int) table.ColumnConfig {
	return table.ColumnConfig{Number: column, Align: prettytext.AlignRight, AlignHeader: prettytext.AlignRight}
}

// last formats the outcome, its date, and the reason.
func (s statusRow) last() string {
	words := cell(string(s.Outcome))
	if day := date(s.OutcomeAt); day != "" {
		words += " " + day
	}
	if s.Reason != "" {
		words += ": " + text.Quote(s.Reason)
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

// ofState colors a word that already names the state.
func (p palette) ofState(word string, state rotator.PolicyState) string {
	switch state {
	case rotator.PolicyStateOverdue, rotator.PolicyStateInvalid:
		return p.alarm(word)
	case rotator.PolicyStatePending, rotator.PolicyStateDue:
		return p.yellow(word)
	case rotator.PolicyStateOK:
		return p.green(word)
	}
	return word
}

var csvHeader = []string{
	"state", "problem", "tenant", "user", "origin", "policy", "age_seconds", "left_seconds",
	"due", "last_rotated", "expires", "outcome", "outcome_at", "reason",
}

func printStatusCSV(out io.Writer, r *statusReport) error {
	w := csv.NewWriter(out)
	_ = w.Write(csvHeader) // w.Error returns the first error
	for _, s := range r.Tenants {
		_ = w.Write([]string{
			string(s.State), strconv.FormatBool(s.Problem), csvText(s.Tenant), csvText(s.User), csvText(string(s.Origin)), s.Policy,
			s.AgeSeconds.seconds(), s.LeftSeconds.seconds(), instant(s.Due), csvText(s.LastRotated), instant(s.Expires),
			string(s.Outcome), instant(s.OutcomeAt), csvText(s.Reason),
		})
	}
	w.Flush()
	return w.Error()
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
