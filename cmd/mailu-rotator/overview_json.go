package main

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"

	"mailu-rotator/internal/text"
)

// overviewJSON is the document of status --output json; docs/report.md
// describes it.
type overviewJSON struct {
	Time            string         `json:"time"`
	Summary         map[string]int `json:"summary"`
	Problems        int            `json:"problems"`
	OldestSeconds   *int64         `json:"oldest_seconds"`
	NextDue         string         `json:"next_due,omitempty"`
	DueWithin7Days  int            `json:"due_within_7_days"`
	DueWithin30Days int            `json:"due_within_30_days"`
	BeyondLimit     int            `json:"beyond_limit"`
	OutcomesFrom    string         `json:"outcomes_from"`
	Tenants         []standingJSON `json:"tenants"`
}

// standingJSON is also a line of CSV.
type standingJSON struct {
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

func (s standing) json(now time.Time) standingJSON {
	age, ageKnown := s.Age(now)
	left, dueKnown := s.Left(now)
	outcome, at, reason := s.lastOutcome(now)
	return standingJSON{
		State: string(s.state), Problem: s.problem,
		Tenant: s.Tenant, User: s.User, Origin: string(s.Origin), Policy: s.Policy.String(),
		AgeSeconds: seconds(age, ageKnown), LeftSeconds: seconds(left, dueKnown), Due: instant(s.Due), LastRotated: s.LastRotated, Expires: instant(s.Expires),
		Outcome: string(outcome), OutcomeAt: instant(at), Reason: reason,
	}
}

func printOverviewJSON(out io.Writer, o *overview) error {
	doc := overviewJSON{
		Time: instant(o.now), Summary: map[string]int{}, Problems: o.problems,
		OldestSeconds: seconds(o.oldest, o.oldest >= 0), NextDue: instant(o.next),
		DueWithin7Days: o.week, DueWithin30Days: o.month, BeyondLimit: o.beyond, OutcomesFrom: o.source(), Tenants: make([]standingJSON, len(o.tenants)),
	}
	for state, n := range o.count {
		doc.Summary[string(state)] = n
	}
	for i, s := range o.tenants {
		doc.Tenants[i] = s.json(o.now)
	}
	return encodeJSON(out, doc)
}

// source says where the last outcomes come from.
func (o *overview) source() string {
	if o.asked {
		return "daemon"
	}
	return "records"
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// seconds rounds to whole seconds; nil means unknown.
func seconds(d time.Duration, known bool) *int64 {
	if !known {
		return nil
	}
	n := int64(d / time.Second)
	return &n
}

var csvHeader = []string{
	"state", "problem", "tenant", "user", "origin", "policy", "age_seconds", "left_seconds",
	"due", "last_rotated", "expires", "outcome", "outcome_at", "reason",
}

func printOverviewCSV(out io.Writer, o *overview) error {
	w := csv.NewWriter(out)
	_ = w.Write(csvHeader) // w.Error returns the first error
	for _, s := range o.tenants {
		j := s.json(o.now)
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
