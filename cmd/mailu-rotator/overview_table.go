package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	prettytext "github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"mailu-rotator/internal/text"
	"mailu-rotator/rotator"
)

// printOverviewTable prints plain lines, for a pager as for a terminal. The narrow
// table has one screen line for each tenant: only there longer lines are cut.
func printOverviewTable(out io.Writer, o *overview, wide bool, p palette) error {
	width := 0
	if !wide {
		width = screenWidth(out)
	}
	lines := o.totals(p)
	switch {
	case len(o.tenants) == 0: // the totals show it
	case wide:
		lines = append(lines, "", o.wide(p))
	default:
		lines = append(lines, "", o.narrow(p))
	}
	w := bufio.NewWriter(out)
	for line := range strings.SplitSeq(strings.Join(lines, "\n"), "\n") {
		fmt.Fprintln(w, prettytext.Snip(line, width, "…")) // Flush returns the first error
	}
	return w.Flush()
}

// totals come first: they are read most, and a pager shows them first.
func (o *overview) totals(p palette) []string {
	var counts []string
	for _, state := range rotator.Standings() {
		if n := o.count[state]; n > 0 {
			counts = append(counts, p.standing(fmt.Sprintf("%d %s", n, state), state))
		}
	}
	lines := []string{fmt.Sprintf("%s: %s", tenants(o.total), strings.Join(counts, ", "))}
	if o.oldest >= 0 {
		lines = append(lines, "oldest "+age(o.oldest)+"; "+o.coming())
	}
	if o.vanish > 0 {
		lines = append(lines, p.alarm(fmt.Sprintf("records that delete themselves (delete_version_after), and their passwords with them: %d; mailu-rotator doctor says how to end that", o.vanish)))
	}
	switch {
	case o.beyond > 0:
		lines = append(lines, fmt.Sprintf("shown: %d of %d, the most urgent; --limit leaves out %d", len(o.tenants), o.total, o.beyond))
	case len(o.tenants) < o.total:
		lines = append(lines, fmt.Sprintf("shown: %d of %d", len(o.tenants), o.total))
	}
	if o.unasked != nil {
		lines = append(lines, "last outcomes are those of the records: "+text.Quote(o.unasked.Error()))
	}
	return lines
}

func (o *overview) coming() string {
	if o.next.IsZero() {
		return "nothing else falls due"
	}
	return fmt.Sprintf("next due %s; due within 7 days: %d, within 30: %d", o.next.UTC().Format(time.DateOnly), o.week, o.month)
}

// narrow shows user and server instead of the tenant's id, which takes half a line and
// has no meaning for people. If a record names no user it shows the id.
func (o *overview) narrow(p palette) string {
	t := newTable("STATE", "LEFT", "AGE", "POLICY", "USER", "SERVER", "LAST OUTCOME")
	t.SetColumnConfigs([]table.ColumnConfig{right(2), right(3)})
	for _, s := range o.tenants {
		t.AppendRow(table.Row{
			p.standing(string(s.state), s.state), s.left(o.now), s.age(o.now), cell(s.Policy.String()),
			s.name(), cell(strings.TrimPrefix(string(s.Origin), "https://")), s.last(o.now),
		})
	}
	return t.Render()
}

func (o *overview) wide(p palette) string {
	t := newTable("STATE", "LEFT", "DUE", "AGE", "LAST ROTATED", "POLICY", "TENANT", "USER", "ORIGIN", "LAST OUTCOME")
	t.SetColumnConfigs([]table.ColumnConfig{right(2), right(4)})
	for _, s := range o.tenants {
		t.AppendRow(table.Row{
			p.standing(string(s.state), s.state), s.left(o.now), cell(date(s.Due)), s.age(o.now), cell(s.LastRotated), cell(s.Policy.String()),
			cell(s.Tenant), cell(s.User), cell(string(s.Origin)), s.last(o.now),
		})
	}
	return t.Render()
}

func right(column int) table.ColumnConfig {
	return table.ColumnConfig{Number: column, Align: prettytext.AlignRight, AlignHeader: prettytext.AlignRight}
}

func (s standing) name() string {
	if s.User == "" {
		return text.Quote(s.Tenant)
	}
	return text.Quote(s.User)
}

func (s standing) age(now time.Time) string {
	d, known := s.Age(now)
	if !known {
		return "-"
	}
	return age(d)
}

func (s standing) left(now time.Time) string {
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
func (s standing) last(now time.Time) string {
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
