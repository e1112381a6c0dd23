package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"mailu-rotator/internal/text"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

func printReport(out io.Writer, report sweep.Report, format string) error {
	if format == "json" {
		return printJSON(out, report)
	}
	return printTable(out, report)
}

func printTable(out io.Writer, report sweep.Report) error {
	t := newTable("TENANT", "USER", "ORIGIN", "LAST ROTATED", "AGE", "OUTCOME", "REASON")
	for _, row := range report.Rows {
		t.AppendRow(table.Row{cell(row.Tenant), cell(row.User), cell(string(row.Origin)),
			cell(row.LastRotated), age(row.Age), string(row.Outcome), text.Quote(row.Reason)})
	}
	if _, err := fmt.Fprintf(out, "%s\n\n%s\n", t.Render(), summary(report)); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return nil
}

// summary is the last line: the number of tenants by outcome.
func summary(report sweep.Report) string {
	var counts []string
	for _, outcome := range rotator.Outcomes() {
		if n := report.Count(outcome); n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, outcome))
		}
	}
	text := fmt.Sprintf("%s: %s", tenants(len(report.Rows)), strings.Join(counts, ", "))
	if report.DryRun {
		return text + " (dry run: nothing was changed)"
	}
	text += fmt.Sprintf(" in %s", report.Finished.Sub(report.Started).Round(10*time.Millisecond))
	if !report.RotatedBefore.IsZero() && report.Incomplete() {
		text += "\nto go on where this run ended: --run-now --rotated-before " + report.RotatedBefore.UTC().Format(time.RFC3339Nano)
	}
	return text
}

// reportJSON is the document of --output json; docs/report.md describes it.
type reportJSON struct {
	Started       string         `json:"started"`
	Finished      string         `json:"finished"`
	DryRun        bool           `json:"dry_run"`
	RotatedBefore string         `json:"rotated_before,omitempty"`
	Summary       map[string]int `json:"summary"`
	Failures      int            `json:"failures"`
	Tenants       []rowJSON      `json:"tenants"`
}

type rowJSON struct {
	Tenant      string `json:"tenant"`
	User        string `json:"user,omitempty"`
	Origin      string `json:"origin,omitempty"`
	LastRotated string `json:"last_rotated,omitempty"`
	AgeSeconds  *int64 `json:"age_seconds"`
	Outcome     string `json:"outcome"`
	Failed      bool   `json:"failed"`
	Reason      string `json:"reason,omitempty"`
}

func printJSON(out io.Writer, report sweep.Report) error {
	doc := reportJSON{
		Started: report.Started.UTC().Format(time.RFC3339Nano), Finished: report.Finished.UTC().Format(time.RFC3339Nano),
		DryRun: report.DryRun, Summary: map[string]int{}, Failures: report.Failures(), Tenants: []rowJSON{},
	}
	if !report.RotatedBefore.IsZero() {
		doc.RotatedBefore = report.RotatedBefore.UTC().Format(time.RFC3339Nano)
	}
	for _, row := range report.Rows {
		doc.Summary[string(row.Outcome)]++
		r := rowJSON{
			Tenant: row.Tenant, User: row.User, Origin: string(row.Origin), LastRotated: row.LastRotated,
			Outcome: string(row.Outcome), Failed: row.Outcome.Failure(), Reason: row.Reason,
		}
		if row.Age >= 0 {
			seconds := int64(row.Age.Seconds())
			r.AgeSeconds = &seconds
		}
		doc.Tenants = append(doc.Tenants, r)
	}
	return encodeJSON(out, doc)
}
