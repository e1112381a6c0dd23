package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"mailu-rotator/internal/text"
	"mailu-rotator/rotator"
)

func printExhibit(out io.Writer, e exhibit, flags showFlags) error {
	switch {
	case flags.raw:
		return printRaw(out, e)
	case flags.output == "json":
		return encodeJSON(out, exhibitDocument(e))
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, line := range exhibitLines(e, time.Now()) {
		fmt.Fprintf(table, "%s\t%s\n", line[0], line[1])
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the record: %w", err)
	}
	return nil
}

// printRaw adds a line break only on a terminal: in a pipe it would become part of the
// password.
func printRaw(out io.Writer, e exhibit) error {
	text := e.password.Reveal()
	if isTerminal(out) {
		text = append(text[:len(text):len(text)], '\n')
		defer clear(text)
	}
	if _, err := out.Write(text); err != nil {
		return fmt.Errorf("print the password: %w", err)
	}
	return nil
}

// exhibitLines returns the lines of the table, each a name and a value.
func exhibitLines(e exhibit, now time.Time) (lines [][2]string) {
	add := func(name, value string) {
		if value != "" {
			lines = append(lines, [2]string{name, text.Quote(value)})
		}
	}
	r, c := e.record, e.record.Credential
	add("tenant", string(c.Tenant))
	add("username", c.Username)
	add("webmail_url", c.WebmailURL())
	add("origin", string(c.Origin))
	add("created_at", c.CreatedAt)
	add("last_rotated", c.LastRotated)
	add("age", ageOf(r))
	add("rotation_policy", policyOf(r))
	add("due", dueOf(r, now))
	if c.KeyVersion != 0 {
		add("key_version", fmt.Sprint(c.KeyVersion))
	}
	if len(c.Password) > 0 {
		add("password", fmt.Sprintf("sealed, %d characters", len(c.Password)))
	}
	if p := c.Pending; p != nil {
		add("pending", pendingOf(r))
		add("pending password", fmt.Sprintf("sealed, %d characters, made %s", len(p.Password), p.LastRotated))
	}
	add("version", versionOf(c))
	add("deletes itself", expiryOf(c))
	add("other fields", strings.Join(c.OtherFields(), ", "))
	if r.Problem != nil {
		add("problem", r.Problem.Error())
	}
	add("account", e.account)
	if e.revealed != "" {
		add(e.revealed+" password", e.password.RevealString())
	}
	return lines
}

func ageOf(r rotator.Record) string {
	if !r.AgeKnown {
		return "unknown"
	}
	return age(r.Age)
}

func policyOf(r rotator.Record) string {
	policy := r.Credential.Policy.String()
	if r.ByDefault {
		policy += ", by default"
	}
	return policy
}

func dueOf(r rotator.Record, now time.Time) string {
	date := r.Due.UTC().Format(time.DateOnly)
	switch {
	case r.Credential.Policy.Manual():
		return "never, only when asked for"
	case r.Credential.Policy.String() == "":
		return ""
	case r.Due.IsZero():
		return "now, since its age is unknown"
	case !r.Due.After(now):
		return "since " + date + spreadFrom(r)
	}
	return fmt.Sprintf("%s, in %s%s", date, age(r.Due.Sub(now)), spreadFrom(r))
}

// spreadFrom returns the due date by the policy alone, if spread makes it earlier.
func spreadFrom(r rotator.Record) string {
	if !r.Due.Before(r.PolicyEnd) {
		return ""
	}
	return ", spread from " + r.PolicyEnd.UTC().Format(time.DateOnly)
}

func pendingOf(r rotator.Record) string {
	claim := r.Credential.Pending.Claim
	until := claim.Until.UTC().Format(time.RFC3339)
	text := fmt.Sprintf("half-finished by %s, whose claim ended %s", claim.Owner, until)
	if r.UnderWay {
		text = fmt.Sprintf("under way by %s, until %s", claim.Owner, until)
	}
	if claim.Takeovers > 0 {
		text += fmt.Sprintf(", taken over %d times", claim.Takeovers)
	}
	return text + "; Mailu accepts the current or the pending password"
}

func versionOf(c rotator.Credential) string {
	if c.Written.IsZero() {
		return fmt.Sprint(c.Version)
	}
	return fmt.Sprintf("%d, written %s", c.Version, c.Written.UTC().Format(time.RFC3339))
}

func expiryOf(c rotator.Credential) string {
	if c.Expires.IsZero() {
		return ""
	}
	return c.Expires.UTC().Format(time.RFC3339) + " (delete_version_after), if it is not written anew; its password is lost then"
}

// exhibitJSON is the document of show --output json; docs/report.md describes
// it.
type exhibitJSON struct {
	Tenant      string            `json:"tenant"`
	Username    string            `json:"username,omitempty"`
	WebmailURL  string            `json:"webmail_url,omitempty"`
	Origin      string            `json:"origin,omitempty"`
	CreatedAt   string            `json:"created_at,omitempty"`
	LastRotated string            `json:"last_rotated,omitempty"`
	AgeSeconds  *int64            `json:"age_seconds"`
	Policy      string            `json:"rotation_policy,omitempty"`
	ByDefault   bool              `json:"policy_by_default"`
	Due         string            `json:"due,omitempty"`
	Overdue     bool              `json:"overdue"`
	KeyVersion  int               `json:"key_version,omitempty"`
	Pending     *exhibitedPending `json:"pending,omitempty"`
	Version     int               `json:"version"`
	Written     string            `json:"written,omitempty"`
	Expires     string            `json:"expires,omitempty"`
	OtherFields []string          `json:"other_fields"`
	Problem     string            `json:"problem,omitempty"`
	Account     string            `json:"account,omitempty"`
	Revealed    string            `json:"revealed,omitempty"`
	Password    string            `json:"password,omitempty"`
}

type exhibitedPending struct {
	LastRotated  string `json:"last_rotated"`
	KeyVersion   int    `json:"key_version,omitempty"`
	Owner        string `json:"owner"`
	ClaimedUntil string `json:"claimed_until"`
	UnderWay     bool   `json:"under_way"`
	Takeovers    int    `json:"takeovers"`
}

func exhibitDocument(e exhibit) exhibitJSON {
	r, c := e.record, e.record.Credential
	doc := exhibitJSON{
		Tenant: string(c.Tenant), Username: c.Username, WebmailURL: c.WebmailURL(), Origin: string(c.Origin),
		CreatedAt: c.CreatedAt, LastRotated: c.LastRotated, Policy: c.Policy.String(), ByDefault: r.ByDefault,
		Overdue: r.Overdue, KeyVersion: int(c.KeyVersion), Version: c.Version,
		OtherFields: append([]string{}, c.OtherFields()...),
		Account:     e.account, Revealed: e.revealed, Password: e.password.RevealString(),
	}
	if r.AgeKnown {
		seconds := int64(r.Age.Seconds())
		doc.AgeSeconds = &seconds
	}
	if !r.Due.IsZero() {
		doc.Due = r.Due.UTC().Format(time.RFC3339)
	}
	if !c.Written.IsZero() {
		doc.Written = c.Written.UTC().Format(time.RFC3339Nano)
	}
	if !c.Expires.IsZero() {
		doc.Expires = c.Expires.UTC().Format(time.RFC3339Nano)
	}
	if p := c.Pending; p != nil {
		doc.Pending = &exhibitedPending{
			LastRotated: p.LastRotated, KeyVersion: int(p.KeyVersion), Owner: p.Claim.Owner,
			ClaimedUntil: p.Claim.Until.UTC().Format(time.RFC3339), UnderWay: r.UnderWay, Takeovers: p.Claim.Takeovers,
		}
	}
	if r.Problem != nil {
		doc.Problem = r.Problem.Error()
	}
	return doc
}
