package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"mailu-rotator/internal/text"
	"mailu-rotator/rotator"
)

func printVerification(out io.Writer, v rotator.Verification, repair bool, format string) error {
	if format == "json" {
		return printVerificationJSON(out, v, repair)
	}
	return printVerificationTable(out, v, repair)
}

func printVerificationTable(out io.Writer, v rotator.Verification, repair bool) error {
	t := newTable("TENANT", "USER", "ORIGIN", "STATE", "REASON")
	for _, f := range v.Findings {
		state := string(f.State)
		if f.Repaired {
			state += ", repaired"
		}
		t.AppendRow(table.Row{cell(f.Tenant), cell(f.User), cell(string(f.Origin)), state, text.Quote(f.Reason)})
	}
	if _, err := fmt.Fprintf(out, "%s\n\n%s\n", t.Render(), verificationSummary(v, repair)); err != nil {
		return fmt.Errorf("print the verification: %w", err)
	}
	return nil
}

// verificationSummary is the last line, and the remedy if there is one.
func verificationSummary(v rotator.Verification, repair bool) string {
	var counts []string
	for _, state := range rotator.States() {
		if n := v.Count(state); n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, state))
		}
	}
	if n := repaired(v); n > 0 {
		counts = append(counts, fmt.Sprintf("%d repaired", n))
	}
	text := fmt.Sprintf("%s: %s in %s", tenants(len(v.Findings)), strings.Join(counts, ", "), v.Finished.Sub(v.Started).Round(10*time.Millisecond))
	if !repair && repairable(v) {
		text += "\nto bring Vault and Mailu back together: mailu-rotator verify --repair"
	}
	return text
}

func repaired(v rotator.Verification) int {
	n := 0
	for _, f := range v.Findings {
		if f.Repaired {
			n++
		}
	}
	return n
}

// repairable reports whether a repair may help some tenant.
func repairable(v rotator.Verification) bool {
	for _, f := range v.Findings {
		switch f.State {
		case rotator.StateDrift:
			return true
		case rotator.StatePending, rotator.StateUnproven:
			if !f.UnderWay && (f.Unprovable || f.State == rotator.StatePending) {
				return true
			}
		}
	}
	return false
}

// verificationJSON is the document of verify --output json; docs/report.md
// describes it.
type verificationJSON struct {
	Started  string         `json:"started"`
	Finished string         `json:"finished"`
	Repair   bool           `json:"repair"`
	Summary  map[string]int `json:"summary"`
	Repaired int            `json:"repaired"`
	Problems int            `json:"problems"`
	Tenants  []findingJSON  `json:"tenants"`
}

type findingJSON struct {
	Tenant   string `json:"tenant"`
	User     string `json:"user,omitempty"`
	Origin   string `json:"origin,omitempty"`
	State    string `json:"state"`
	Repaired bool   `json:"repaired"`
	Problem  bool   `json:"problem"`
	Reason   string `json:"reason,omitempty"`
}

func printVerificationJSON(out io.Writer, v rotator.Verification, repair bool) error {
	doc := verificationJSON{
		Started: v.Started.UTC().Format(time.RFC3339Nano), Finished: v.Finished.UTC().Format(time.RFC3339Nano),
		Repair: repair, Summary: map[string]int{}, Repaired: repaired(v), Problems: v.Problems(), Tenants: []findingJSON{},
	}
	for _, f := range v.Findings {
		doc.Summary[string(f.State)]++
		doc.Tenants = append(doc.Tenants, findingJSON{
			Tenant: f.Tenant, User: f.User, Origin: string(f.Origin), State: string(f.State),
			Repaired: f.Repaired, Problem: f.Problem(), Reason: f.Reason,
		})
	}
	return encodeJSON(out, doc)
}
