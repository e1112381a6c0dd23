package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"mailu-rotator/internal/text"
	"mailu-rotator/rotator"
)

// shownFlaws limits the listed flaws of a badly broken fleet; --output json has all.
const shownFlaws = 20

func printDoctorReport(out io.Writer, r *doctorReport, format string) error {
	if format == "json" {
		return encodeJSON(out, r)
	}
	var b strings.Builder
	p := newPalette("auto", out)
	width := map[string]int{}
	for _, c := range r.Checks {
		width[c.Section] = max(width[c.Section], utf8.RuneCountInString(text.Quote(c.Name)))
	}
	section := ""
	for _, c := range r.Checks {
		if c.Section != section {
			section = c.Section
			b.WriteString(p.bold(section) + "\n")
		}
		writeCheck(&b, p, c.Check, width[section])
	}
	if r.Records != nil {
		writeFlaws(&b, p, r.Records.Flaws)
	}
	b.WriteString("\n" + doctorSummary(r) + "\n")
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return nil
}

// writeCheck prints a check in one line, or more for a multi-line error, and a line
// with the fix.
func writeCheck(b *strings.Builder, p palette, c rotator.Check, width int) {
	name := text.Quote(c.Name)
	pad := strings.Repeat(" ", width-utf8.RuneCountInString(name))
	found := strings.Split(c.Found, "\n")
	for i, line := range found {
		found[i] = text.Quote(line)
	}
	line := "  " + mark(p, c.State) + " " + name + pad + "  " + strings.Join(found, "\n      ")
	b.WriteString(strings.TrimRight(line, " ") + "\n")
	writeFix(b, p, c.Fix)
}

func writeFix(b *strings.Builder, p palette, fix string) {
	if fix != "" {
		b.WriteString("      " + p.dim("→") + " " + text.Quote(fix) + "\n")
	}
}

func mark(p palette, state rotator.CheckState) string {
	switch state {
	case rotator.CheckOK:
		return p.green("✓")
	case rotator.CheckWarned:
		return p.yellow("!")
	case rotator.CheckFailed:
		return p.red("✗")
	}
	return p.dim("–")
}

func writeFlaws(b *strings.Builder, p palette, flaws []flaw) {
	for i, f := range flaws {
		if i == shownFlaws {
			fmt.Fprintf(b, "    … and %d more: --output json has them all\n", len(flaws)-i)
			return
		}
		state := rotator.CheckWarned
		if f.Serious {
			state = rotator.CheckFailed
		}
		fmt.Fprintf(b, "    %s %s  %s\n", mark(p, state), text.Quote(f.Tenant), text.Quote(f.Reason))
		writeFix(b, p, f.Fix)
	}
}

func doctorSummary(r *doctorReport) string {
	var counts []string
	for _, c := range []struct {
		state rotator.CheckState
		one   string
	}{{rotator.CheckOK, "ok"}, {rotator.CheckWarned, "to look at"}, {rotator.CheckFailed, "failed"}, {rotator.CheckSkipped, "not checked"}} {
		if n := r.Summary[c.state]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, c.one))
		}
	}
	line := fmt.Sprintf("checks: %s in %s", strings.Join(counts, ", "), r.Finished.Sub(r.Started).Round(10*time.Millisecond))
	switch r.Status {
	case exitCannotRun:
		line += "\na run could not take place"
	case exitFailures:
		line += "\na run could take place, but not for every tenant"
	}
	return line
}
