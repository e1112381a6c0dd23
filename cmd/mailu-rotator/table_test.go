package main

import (
	"slices"
	"strings"
	"testing"

	prettytext "github.com/jedib0t/go-pretty/v6/text"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

const (
	longReason = "look up admin@gone.example at https://mail.example.com: user admin@gone.example unknown to this server: " +
		"create the user in Mailu, or correct the username in Vault: mailu-rotator rollback 0f8fad5b-d9cb-469f-a165-70867728950e"
	tenantID = "0f8fad5b-d9cb-469f-a165-70867728950e"
)

func longGrid() *grid {
	g := newGrid("TENANT", "USER", "ORIGIN", "LAST ROTATED", "AGE", "OUTCOME", "REASON")
	g.optional = []string{"LAST ROTATED", "ORIGIN", "TENANT"}
	g.add(tenantID, "admin@one.example", "https://mail.example.com", "2026-01-02T03:04:05Z", "190d", "rotated", "asked for")
	g.add(tenantID, "用户@例子.example", "https://mail.example.com", "2026-01-02T03:04:05Z", "190d", "failed", longReason)
	g.add(tenantID, "-", "-", "-", "-", "invalid", longReason)
	return g
}

func TestTableFitsTheTerminalAndCutsNothing(t *testing.T) {
	for width := 80; width < 400; width++ {
		got := longGrid().render(width)

		for line := range strings.Lines(got) {
			if n := prettytext.StringWidthWithoutEscSequences(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("width %d: a line of %d cells:\n%s", width, n, got)
			}
		}
		// A column ends where the next one begins: only the reason has several lines.
		reason := strings.Index(strings.SplitN(got, "\n", 2)[0], "REASON")
		var words []string
		for line := range strings.Lines(got) {
			if strings.HasPrefix(line, strings.Repeat(" ", reason)) {
				words = append(words, strings.Fields(line)...)
			} else if i := strings.Index(line, "look up"); i >= 0 {
				words = append(words, strings.Fields(line[i:])...)
			}
		}
		want := strings.Fields(longReason + " " + longReason)
		if width < 89 { // less than an id is left: it has to be broken
			words, want = []string{strings.Join(words, "")}, []string{strings.Join(want, "")}
		}
		if !slices.Equal(words, want) {
			t.Errorf("width %d: the reasons are %q:\n%s", width, words, got)
		}
	}
}

func TestNarrowTerminalLeavesOutWholeColumns(t *testing.T) {
	for width, want := range map[int]string{
		0:   "TENANT USER ORIGIN LAST ROTATED AGE OUTCOME REASON",
		156: "TENANT USER ORIGIN LAST ROTATED AGE OUTCOME REASON",
		155: "TENANT USER ORIGIN AGE OUTCOME REASON",
		134: "TENANT USER ORIGIN AGE OUTCOME REASON",
		133: "TENANT USER AGE OUTCOME REASON",
		108: "TENANT USER AGE OUTCOME REASON",
		107: "USER AGE OUTCOME REASON",
		80:  "USER AGE OUTCOME REASON",
	} {
		header, rest, _ := strings.Cut(longGrid().render(width), "\n")

		if got := strings.Join(strings.Fields(header), " "); got != want {
			t.Errorf("width %d: %s, want %s", width, got, want)
		}
		if !strings.Contains(rest, "\n"+tenantID+"  ") {
			t.Errorf("width %d: a row without a name:\n%s", width, rest)
		}
	}
}

func TestColumnsStayIfTheReasonsAreShort(t *testing.T) {
	g := longGrid()
	g.rows = g.rows[:1]

	if got := g.render(129); !strings.Contains(got, " LAST ROTATED ") || !strings.HasSuffix(got, "  asked for") {
		t.Error(got)
	}
}

// On a screen that is too narrow for anything the terminal itself breaks the lines.
func TestHardlyATerminal(t *testing.T) {
	for width := 1; width < 80; width++ {
		got := longGrid().render(width)

		if !strings.Contains(got, "\nadmin@one.example ") || !strings.Contains(got, "asked for") {
			t.Errorf("width %d:\n%s", width, got)
		}
	}
}

func TestNoTerminalHasOneLineForEachRow(t *testing.T) {
	var out strings.Builder
	report := sweep.Report{Rows: []sweep.Row{{Tenant: tenantID, User: "a@b.example", Outcome: rotator.Failed, Reason: longReason}}}

	must(t, printReport(&out, report, "table", false))

	if !strings.HasSuffix(strings.Split(out.String(), "\n")[1], longReason) {
		t.Error(out.String())
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 9812: "9,812", 123456: "123,456", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

func TestStatusOnANarrowTerminal(t *testing.T) {
	want := []string{"STATE LEFT AGE POLICY USER SERVER LAST OUTCOME", "STATE LEFT AGE USER SERVER LAST OUTCOME", "STATE LEFT AGE USER LAST OUTCOME"}
	var seen []string
	for width := 200; width >= 60; width-- {
		r := statusReport{Tenants: []statusRow{{State: rotator.PolicyStateOverdue, Policy: "180_days", User: "admin@one.example", Origin: "https://mail.example.com", Outcome: rotator.Failed, Reason: longReason}}}

		got := r.narrow(palette{on: true}).render(width)

		for line := range strings.Lines(got) {
			if n := prettytext.StringWidthWithoutEscSequences(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("width %d: a line of %d cells:\n%s", width, n, got)
			}
		}
		header := strings.Join(strings.Fields(strings.SplitN(got, "\n", 2)[0]), " ")
		if !slices.Contains(seen, header) {
			seen = append(seen, header)
		}
	}
	if !slices.Equal(seen, want) {
		t.Errorf("%q", seen)
	}
}
