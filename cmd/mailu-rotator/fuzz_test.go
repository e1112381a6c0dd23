package main

import (
	"encoding/csv"
	"strings"
	"testing"
	"time"
	"unicode"

	"mailu-rotator/internal/text"
)

// A daemon's answer parses as outcomes of tenants, by their names, or is an error.
func FuzzReadOutcomes(f *testing.F) {
	for _, seed := range []string{
		`{"tenants":[{"tenant":"x","outcome":"failed","at":"2026-01-02T03:04:05Z","reason":"\u001b[2J"}]}`,
		`{"tenants":[{"tenant":1}]}`, `{"tenants":[{"at":"yesterday"}]}`, `{"tenants":{}}`, `{"tenants":null}`, `[]`, `null`, ``, `{}{}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		known, _, err := readOutcomes(strings.NewReader(body))
		if (err == nil) != (known != nil) {
			t.Errorf("%v with error %v", known, err)
		}
		for name, outcome := range known {
			if outcome.Tenant != name {
				t.Errorf("%q is known as %q", outcome.Tenant, name)
			}
		}
	})
}

// A cell is never a formula, whatever it contains, and a CSV line stays one line.
func FuzzCSVCell(f *testing.F) {
	for _, seed := range []string{"=1+1", "\t=1", "＝1", "\"=1", "a,b\nc", "\ufeff=1", "\u200b=1", "-", "'=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cell := csvText(text)
		if cell != "" && strings.ContainsRune("=+-@＝＋－＠\t\r\n", []rune(cell)[0]) {
			t.Errorf("%q begins a formula: %q", text, cell)
		}
		var out strings.Builder
		w := csv.NewWriter(&out)
		must(t, w.Write([]string{cell, "next"}))
		w.Flush()
		if line := strings.TrimSuffix(out.String(), "\n"); strings.ContainsAny(line, "\r\n") {
			t.Errorf("%q takes more than a line: %q", text, line)
		}
	})
}

// A time on the command line is valid, or the error quotes it.
func FuzzParseTime(f *testing.F) {
	for _, seed := range []string{"2026-01-02T15:04:05Z", "2026-01-02", "", "2026-02-30", "0000-00-00", "9999-12-31T23:59:59+14:00", "now\x1b[2J"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, err := parseTime(text, time.Now())
		if err != nil && !at.IsZero() {
			t.Errorf("%q: %s beside %v", text, at, err)
		}
		if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q is complained of unquoted: %q", text, err)
		}
	})
}

// Every record's text takes exactly one line of the table.
func FuzzTableCell(f *testing.F) {
	f.Add(hostileText)
	f.Add("")
	f.Add("a\tb")
	f.Fuzz(func(t *testing.T, value string) {
		table := newTable("TENANT", "USER")
		table.AppendRow([]any{text.Quote(value), "end"})

		lines := strings.Split(table.Render(), "\n")

		if len(lines) != 2 || !strings.HasSuffix(lines[1], "end") || strings.ContainsFunc(lines[1], func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q is %q", value, lines)
		}
	})
}
