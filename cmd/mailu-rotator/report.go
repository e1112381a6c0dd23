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
		return printReportJSON(out, report)
	}
	return printReportTable(out, report)
}

func printReportTable(out io.Writer, report sweep.Report) error {
	t := newTable("TENANT", "USER", "ORIGIN", "LAST ROTATED", "AGE", "OUTCOME", "REASON")
	for _, row := range report.Rows {
		t.AppendRow(table.Row{cell(row.Tenant), cell(row.User), cell(string(row.Origin)),
			cell(row.LastRotated), age(row.Age), string(row.Outcome), text.Quote(row.Reason)})
	}
	return printTable(out, t, summary(report))
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
	Started       string                  `json:"started"`
	Finished      string                  `json:"finished"`
	DryRun        bool                    `json:"dry_run"`
	RotatedBefore string                  `json:"rotated_before,omitempty"`
	Summary       map[rotator.Outcome]int `json:"summary"`
	Failures      int                     `json:"failures"`
	Tenants       []rowJSON               `json:"tenants"`
}

// rowJSON repeats outcome and reason so that they come after the age.
type rowJSON struct {
	sweep.Row
	AgeSeconds span            `json:"age_seconds"`
	Outcome    rotator.Outcome `json:"outcome"`
	Failed     bool            `json:"failed"`
	Reason     string          `json:"reason,omitempty"`
}

func printReportJSON(out io.Writer, r sweep.Report) error {
	doc := reportJSON{
		Started: instant(r.Started), Finished: instant(r.Finished), DryRun: r.DryRun, RotatedBefore: instant(r.RotatedBefore),
		Summary: map[rotator.Outcome]int{}, Failures: r.Failures(), Tenants: make([]rowJSON, len(r.Rows)),
	}
	for i, row := range r.Rows {
		doc.Summary[row.Outcome]++
		doc.Tenants[i] = rowJSON{row, spanOf(row.Age, row.Age >= 0), row.Outcome, row.Outcome.Failure(), row.Reason}
	}
	return encodeJSON(out, doc)
}
