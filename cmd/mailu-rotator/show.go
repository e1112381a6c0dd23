package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"mailu-rotator/crypto"
	"mailu-rotator/internal/text"
	"mailu-rotator/rotator/sweep"
)

type showFlags struct {
	tenant   string
	reveal   bool
	login    operatorLogin
	pending  bool
	accepted bool
	raw      bool
	output   string
}

func newShowCommand(path *string) *cobra.Command {
	var flags showFlags
	cmd := &cobra.Command{
		Use:   "show TENANT",
		Short: "Show a tenant's record, and with --reveal its password",
		Long: `Show a tenant's record in Vault. TENANT is its id, 4 or more first
characters of it, or the address of its user, for which every record is read. Of
fields that belong to other programs only the names are shown.

The password is shown only with --reveal, for an emergency in which somebody must
log in as this user. That is logged as "password revealed", with who and where, on
stderr and in the system log, before anything is shown. A half-finished rotation
leaves two passwords: --reveal shows the current one, --pending the other,
--accepted asks Mailu which of the two it accepts.

Exit status: 0 shown; 1 there is nothing to show, or it does not open; 130
interrupted.`,
		Example: `  mailu-rotator show 0f8fad5b-d9cb-469f-a165-70867728950e
  mailu-rotator show admin@one.example --reveal
  mailu-rotator show admin@one.example --reveal --raw | wl-copy`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.tenant = args[0]
			if err := flags.check(cmd); err != nil {
				return err
			}
			return runShow(cmd, *path, flags)
		},
	}
	cmd.Flags().BoolVar(&flags.reveal, "reveal", false, "open the password and show it (logged)")
	cmd.Flags().BoolVar(&flags.raw, "raw", false, "with --reveal: print the password and nothing else")
	cmd.Flags().BoolVar(&flags.pending, "pending", false, "with --reveal: the pending password of a half-finished rotation")
	cmd.Flags().BoolVar(&flags.accepted, "accepted", false, "with --reveal: the current or the pending one, whichever Mailu takes")
	flags.login.register(cmd)
	registerOutput(cmd, &flags.output)
	return cmd
}

func (f showFlags) check(cmd *cobra.Command) error {
	for _, name := range []string{"raw", "pending", "accepted"} {
		if cmd.Flags().Changed(name) && !f.reveal {
			return errors.New("--" + name + " needs --reveal")
		}
	}
	if f.pending && f.accepted {
		return errors.New("--pending and --accepted exclude each other")
	}
	if f.raw && (cmd.Flags().Changed("output") || cmd.Flags().Changed("json")) {
		return errors.New("--raw and --output exclude each other")
	}
	return checkOutput(f.output)
}

func runShow(cmd *cobra.Command, path string, flags showFlags) error {
	var shown recordView
	defer func() { shown.password.Wipe() }()
	interrupted, err := runOnce(cmd, path, func(ctx context.Context, a *app) (err error) {
		if err := flags.login.apply(a); err != nil {
			return err
		}
		shown, err = inSession(ctx, a, func(s *session) (recordView, error) { return a.view(ctx, s.Sweep, flags) })
		return err
	})
	if err != nil {
		return err
	}
	if interrupted {
		return &statusError{code: exitInterrupted}
	}
	return printRecord(cmd.OutOrStdout(), shown, flags)
}

// view reads a record, and opens its password if that is asked for: it records that
// before anybody sees it.
func (a *app) view(ctx context.Context, s *sweep.Sweep, flags showFlags) (v recordView, err error) {
	if v.record, err = s.Record(ctx, flags.tenant); err != nil || !flags.reveal {
		return v, err
	}
	var pending bool
	cred := v.record.Credential
	if v.password, pending, v.account, err = s.Reveal(ctx, cred, flags.pending, flags.accepted); err != nil {
		return v, err
	}
	v.revealed = "current"
	if pending {
		v.revealed = "pending"
	}
	return v, a.log.audit(openSystemLog, passwordRevealed,
		zap.String("tenant", string(cred.Tenant)), zap.String("user", cred.Username), zap.String("origin", string(cred.Origin)),
		zap.Int("version", cred.Version), zap.String("password", v.revealed))
}

type recordView struct {
	record   sweep.Record
	account  string        // what Mailu, if asked, says about the user that an operator should know
	revealed string        // "current" or "pending"; empty: no password is shown
	password crypto.Secret // also empty then
}

func printRecord(out io.Writer, v recordView, flags showFlags) error {
	switch {
	case flags.raw:
		return printRaw(out, v)
	case flags.output == "json":
		return encodeJSON(out, recordDocument(v))
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, line := range recordLines(v, time.Now()) {
		fmt.Fprintf(table, "%s\t%s\n", line[0], line[1])
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the record: %w", err)
	}
	return nil
}

// printRaw adds a line break only on a terminal: in a pipe it would become part of the
// password.
func printRaw(out io.Writer, v recordView) error {
	text := v.password.Reveal()
	if isTerminal(out) {
		text = append(text[:len(text):len(text)], '\n')
		defer clear(text)
	}
	if _, err := out.Write(text); err != nil {
		return fmt.Errorf("print the password: %w", err)
	}
	return nil
}

func recordLines(v recordView, now time.Time) (lines [][2]string) {
	add := func(name, value string) {
		if value != "" {
			lines = append(lines, [2]string{name, text.Quote(value)})
		}
	}
	r, c := v.record, v.record.Credential
	add("tenant", string(c.Tenant))
	add("username", c.Username)
	add("webmail_url", c.WebmailURL())
	add("origin", string(c.Origin))
	add("created_at", c.CreatedAt)
	add("last_rotated", c.LastRotated)
	if r.AgeKnown {
		add("age", age(r.Age))
	} else {
		add("age", "unknown")
	}
	if r.ByDefault {
		add("rotation_policy", c.Policy.String()+", by default")
	} else {
		add("rotation_policy", c.Policy.String())
	}
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
	version := fmt.Sprint(c.Version)
	if !c.Written.IsZero() {
		version += ", written " + inSeconds(c.Written)
	}
	add("version", version)
	if !c.Expires.IsZero() {
		add("deletes itself", inSeconds(c.Expires)+" (delete_version_after), if it is not written anew; its password is lost then")
	}
	add("other fields", strings.Join(c.OtherFields(), ", "))
	if r.Problem != nil {
		add("problem", r.Problem.Error())
	}
	add("account", v.account)
	if v.revealed != "" {
		add(v.revealed+" password", v.password.RevealString())
	}
	return lines
}

func dueOf(r sweep.Record, now time.Time) string {
	date, spread := r.Due.UTC().Format(time.DateOnly), ""
	if r.Due.Before(r.PolicyEnd) {
		spread = ", spread from " + r.PolicyEnd.UTC().Format(time.DateOnly)
	}
	switch {
	case r.Credential.Policy.Manual():
		return "never, only when asked for"
	case r.Credential.Policy.String() == "":
		return ""
	case r.Due.IsZero():
		return "now, since its age is unknown"
	case !r.Due.After(now):
		return "since " + date + spread
	}
	return fmt.Sprintf("%s, in %s%s", date, age(r.Due.Sub(now)), spread)
}

func pendingOf(r sweep.Record) string {
	claim := r.Credential.Pending.Claim
	text := fmt.Sprintf("half-finished by %s, whose claim ended %s", claim.Owner, inSeconds(claim.Until))
	if r.UnderWay {
		text = fmt.Sprintf("under way by %s, until %s", claim.Owner, inSeconds(claim.Until))
	}
	if claim.Takeovers > 0 {
		text += fmt.Sprintf(", taken over %d times", claim.Takeovers)
	}
	return text + "; Mailu accepts the current or the pending password"
}

// inSeconds is in UTC, like the records.
func inSeconds(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// recordJSON is the document of show --output json, see docs/report.md.
type recordJSON struct {
	Tenant      string       `json:"tenant"`
	Username    string       `json:"username,omitempty"`
	WebmailURL  string       `json:"webmail_url,omitempty"`
	Origin      string       `json:"origin,omitempty"`
	CreatedAt   string       `json:"created_at,omitempty"`
	LastRotated string       `json:"last_rotated,omitempty"`
	AgeSeconds  span         `json:"age_seconds"`
	Policy      string       `json:"rotation_policy,omitempty"`
	ByDefault   bool         `json:"policy_by_default"`
	Due         string       `json:"due,omitempty"`
	Overdue     bool         `json:"overdue"`
	KeyVersion  int          `json:"key_version,omitempty"`
	Pending     *pendingJSON `json:"pending,omitempty"`
	Version     int          `json:"version"`
	Written     time.Time    `json:"written,omitzero"`
	Expires     time.Time    `json:"expires,omitzero"`
	OtherFields []string     `json:"other_fields"`
	Problem     string       `json:"problem,omitempty"`
	Account     string       `json:"account,omitempty"`
	Revealed    string       `json:"revealed,omitempty"`
	Password    string       `json:"password,omitempty"`
}

type pendingJSON struct {
	LastRotated  string `json:"last_rotated"`
	KeyVersion   int    `json:"key_version,omitempty"`
	Owner        string `json:"owner"`
	ClaimedUntil string `json:"claimed_until"`
	UnderWay     bool   `json:"under_way"`
	Takeovers    int    `json:"takeovers"`
}

func recordDocument(v recordView) recordJSON {
	r, c := v.record, v.record.Credential
	doc := recordJSON{
		Tenant: string(c.Tenant), Username: c.Username, WebmailURL: c.WebmailURL(), Origin: string(c.Origin),
		CreatedAt: c.CreatedAt, LastRotated: c.LastRotated, Policy: c.Policy.String(), ByDefault: r.ByDefault,
		Overdue: r.Overdue, KeyVersion: int(c.KeyVersion), Version: c.Version,
		AgeSeconds: spanOf(r.Age, r.AgeKnown), Written: c.Written.UTC(), Expires: c.Expires.UTC(),
		OtherFields: append([]string{}, c.OtherFields()...),
		Account:     v.account, Revealed: v.revealed, Password: v.password.RevealString(),
	}
	if !r.Due.IsZero() {
		doc.Due = inSeconds(r.Due)
	}
	if p := c.Pending; p != nil {
		doc.Pending = &pendingJSON{
			LastRotated: p.LastRotated, KeyVersion: int(p.KeyVersion), Owner: p.Claim.Owner,
			ClaimedUntil: inSeconds(p.Claim.Until), UnderWay: r.UnderWay, Takeovers: p.Claim.Takeovers,
		}
	}
	if r.Problem != nil {
		doc.Problem = r.Problem.Error()
	}
	return doc
}
