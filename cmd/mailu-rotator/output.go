package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	prettytext "github.com/jedib0t/go-pretty/v6/text"

	"mailu-rotator/internal/text"
)

// newTable returns a table without lines, which operators can pass to awk and grep. Its
// columns are measured in terminal cells: neither escape codes nor wide characters
// shift them.
func newTable(header ...any) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.Style{
		Name: "plain", Box: table.BoxStyle{PaddingRight: "  "}, Options: table.OptionsNoBordersAndSeparators,
	})
	t.SuppressTrailingSpaces()
	t.AppendHeader(header)
	return t
}

// printTable prints a table and, below it, the summary.
func printTable(out io.Writer, t table.Writer, summary string) error {
	if _, err := fmt.Fprintf(out, "%s\n\n%s\n", t.Render(), summary); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return nil
}

// palette colors words whose text already says the same; the zero palette leaves them
// unchanged.
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
	return fmt.Sprintf("%d tenants", n)
}

// maxCell limits the text from a record in a column, in characters: no user is longer
// than 254.
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

// seconds is empty if the span is unknown.
func (s span) seconds() string {
	if !s.known {
		return ""
	}
	return strconv.FormatInt(int64(s.Duration/time.Second), 10)
}

// MarshalJSON implements [json.Marshaler].
func (s span) MarshalJSON() ([]byte, error) { return []byte(cmp.Or(s.seconds(), "null")), nil }
