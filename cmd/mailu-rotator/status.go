package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mailu-rotator/internal/config"
	"mailu-rotator/internal/monitor"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

// statusPatience is how long status waits for a Vault that does not answer, until it is
// logged in: somebody wants to know now.
const statusPatience = 5 * time.Second

type statusFlags struct {
	selectionFlags
	due     bool
	overdue bool
	states  []string
	limit   uint
	check   bool
	output  string
	color   string
}

func newStatusCommand(path *string) *cobra.Command {
	var flags statusFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the age of every tenant's password against its policy",
		Long: `Show the age of every tenant's password, its policy, and how long it has left:
totals first, then the tenants, most urgent first. Only the records in Vault
are read; Mailu is not asked, and nothing is changed.

States: overdue (as old as its policy or older, and not rotated by a sweep that
should have done so), invalid (not rotated until its record is fixed or its server
listed), pending (a rotation is running or half-finished), due (the next sweep
rotates it), ok, and ignored (not a tenant).

The last outcome comes from the daemon, if one answers at listen.address, or
otherwise from the record, which does not show a failure that changed nothing.

Exit status: 0 shown; 1 could not run; 130 interrupted. With --check 2 if a
tenant needs attention: if it is overdue, invalid, or still half-finished after a
whole sweep; and if the daemon's last login at a server failed.`,
		Example: `  mailu-rotator status
  mailu-rotator status --due
  mailu-rotator status --output wide --color always | less -RS
  mailu-rotator status --check --limit 20
  mailu-rotator status --output json | jq -r '.tenants[] | select(.problem) | .tenant'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runStatus(cmd, *path, flags)
		},
	}
	flags.register(cmd)
	return cmd
}

func (f *statusFlags) register(cmd *cobra.Command) {
	f.selectionFlags.register(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.due, "due", false, "show only what is due or overdue")
	flags.BoolVar(&f.overdue, "overdue", false, "show only what is overdue")
	flags.StringArrayVar(&f.states, "state", nil, "show only what is in this `state` (repeatable)")
	flags.UintVar(&f.limit, "limit", 0, "show at most this many tenants, most urgent first (0 means no limit)")
	flags.BoolVar(&f.check, "check", false, "exit with 2 if a tenant needs attention, shown or not")
	registerOutput(cmd, &f.output, "wide", "csv")
	flags.Lookup("output").Usage = "`format`: table, wide, json or csv"
	flags.StringVar(&f.color, "color", "auto", "color tables: `when` is auto (on a terminal, without NO_COLOR), always or never")
	complete(cmd, "state", cobra.FixedCompletions(namesOf(rotator.PolicyStates()), cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "color", cobra.FixedCompletions([]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp))
}

// shown checks the flags against each other and returns the states to show.
func (f *statusFlags) shown() ([]rotator.PolicyState, error) {
	switch {
	case !slices.Contains([]string{"table", "wide", "json", "csv"}, f.output):
		return nil, fmt.Errorf("--output %q is none of table, wide, json and csv", f.output)
	case !slices.Contains([]string{"auto", "always", "never"}, f.color):
		return nil, fmt.Errorf("--color %q is none of auto, always and never", f.color)
	case f.due && f.overdue:
		return nil, errors.New("--due and --overdue exclude each other")
	case (f.due || f.overdue) && len(f.states) > 0:
		return nil, errors.New("--due and --overdue exclude --state, which can be repeated")
	case f.due:
		return []rotator.PolicyState{rotator.PolicyStateDue, rotator.PolicyStateOverdue}, nil
	case f.overdue:
		return []rotator.PolicyState{rotator.PolicyStateOverdue}, nil
	case len(f.states) == 0:
		return rotator.PolicyStates(), nil
	}
	var shown []rotator.PolicyState
	for _, state := range f.states {
		if !slices.Contains(rotator.PolicyStates(), rotator.PolicyState(state)) {
			return nil, fmt.Errorf("--state %q is none of %s", state, strings.Join(namesOf(rotator.PolicyStates()), ", "))
		}
		shown = append(shown, rotator.PolicyState(state))
	}
	return shown, nil
}

func namesOf(all []rotator.PolicyState) []string {
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = string(s)
	}
	return names
}

func runStatus(cmd *cobra.Command, path string, flags statusFlags) error {
	shown, err := flags.shown()
	if err != nil {
		return err
	}
	var r *statusReport
	interrupted, err := runOnce(cmd, path, func(ctx context.Context, a *app) error {
		sel, err := flags.parse(a.cfg)
		if err != nil {
			return err
		}
		a.opening = statusPatience
		r, err = inSession(ctx, a, func(s *session) (*statusReport, error) {
			all, now, err := s.Status(ctx, sel)
			none := errors.Is(err, rotator.ErrNoTenants) && !flags.check // for monitoring it is a fault
			if err != nil && !none {
				return nil, err
			}
			known, logins, daemonErr := askDaemon(ctx, a.cfg.Listen)
			r := newStatusReport(all, known, now, timetableOf(a.cfg.Rotation))
			r.Logins, r.DaemonErr = logins, daemonErr
			if none {
				r.Remark = nothingYet(a.cfg.Vault) + "; add the first, with VAULT_TOKEN set:\n  " + addFirst(path, a.cfg)
			}
			return r, nil
		})
		return err
	})
	if err != nil {
		return err
	}
	stdout := cmd.OutOrStdout()
	r.filter(shown, int(flags.limit))
	if err := printStatus(stdout, r, flags.output, newPalette(flags.color, stdout)); err != nil {
		return err
	}
	if !flags.check {
		return statusOf(0, interrupted)
	}
	return statusOf(r.Problems+len(r.failedLogins()), interrupted)
}

func timetableOf(r config.Rotation) rotator.Timetable {
	return rotator.Timetable{Schedule: r.Schedule, Timezone: r.Timezone, Jitter: r.Jitter, Window: r.Window}
}

// statusReport is a summary of the fleet, and the tenants to list: the document of status
// --output json, which docs/report.md describes. Its times are in UTC.
type statusReport struct {
	Time            time.Time                   `json:"time"`
	Summary         map[rotator.PolicyState]int `json:"summary"`
	Problems        int                         `json:"problems"` // tenants that need attention
	OldestSeconds   span                        `json:"oldest_seconds"`
	NextDue         time.Time                   `json:"next_due,omitzero"`  // when the first of the ok tenants falls due
	DueWithin7Days  int                         `json:"due_within_7_days"`  // how many of the ok tenants,
	DueWithin30Days int                         `json:"due_within_30_days"` // like this
	BeyondLimit     int                         `json:"beyond_limit"`       // tenants omitted by the limit
	OutcomesFrom    string                      `json:"outcomes_from"`
	Logins          []monitor.LoginOutcome      `json:"logins,omitempty"` // the last real login at each server, as the daemon says
	Tenants         []statusRow                 `json:"tenants"`          // most urgent first

	Total     int    `json:"-"` // tenants, listed or not
	Vanishing int    `json:"-"` // those whose record deletes itself
	Remark    string `json:"-"` // for people, without tenants
	DaemonErr error  `json:"-"` // why the daemon's last outcomes are missing, if it should have returned them
}

// statusRow is a tenant's state at the time of the report, and a line of CSV.
type statusRow struct {
	State       rotator.PolicyState `json:"state"`
	Problem     bool                `json:"problem"`
	Tenant      string              `json:"tenant"`
	User        string              `json:"user,omitempty"`
	Origin      rotator.Origin      `json:"origin,omitempty"`
	Policy      string              `json:"policy,omitempty"`
	AgeSeconds  span                `json:"age_seconds"`
	LeftSeconds span                `json:"left_seconds"`
	Due         time.Time           `json:"due,omitzero"`
	LastRotated string              `json:"last_rotated,omitempty"`
	Expires     time.Time           `json:"expires,omitzero"`
	Outcome     rotator.Outcome     `json:"outcome,omitempty"`
	OutcomeAt   time.Time           `json:"outcome_at,omitzero"`
	Reason      string              `json:"reason,omitempty"` // of the outcome; for a record that deletes itself, when that happens
}

// newStatusReport sorts all tenants. known are the daemon's outcomes, nil if there is no
// daemon to ask.
func newStatusReport(all []rotator.Status, known outcomes, now time.Time, t rotator.Timetable) *statusReport {
	rotator.SortByUrgency(all, now, t)
	r := &statusReport{
		Time: now.UTC(), Summary: map[rotator.PolicyState]int{}, OutcomesFrom: "records", Tenants: make([]statusRow, len(all)), Total: len(all),
	}
	if known != nil {
		r.OutcomesFrom = "daemon"
	}
	for i, s := range all {
		last := known[s.Tenant]
		outcome, at, reason := status.Entry{Status: s, Outcome: last.Outcome, At: last.At, Reason: last.Reason}.LastOutcome(now)
		r.Tenants[i] = statusRow{
			State: s.PolicyState(now, t), Problem: s.Problem(now, t),
			Tenant: s.Tenant, User: s.User, Origin: s.Origin, Policy: s.Policy.String(),
			AgeSeconds: spanOf(s.Age(now)), LeftSeconds: spanOf(s.Left(now)),
			Due: s.Due.UTC(), LastRotated: s.LastRotated, Expires: s.Expires.UTC(),
			Outcome: outcome, OutcomeAt: at.UTC(), Reason: cmp.Or(reason, s.Expiry()),
		}
		if s.Vanishes() {
			r.Vanishing++
		}
		r.count(r.Tenants[i])
	}
	return r
}

// failedLogins are those that need attention.
func (r *statusReport) failedLogins() (failed []monitor.LoginOutcome) {
	for _, login := range r.Logins {
		if login.State.Problem() {
			failed = append(failed, login)
		}
	}
	return failed
}

func (r *statusReport) count(s statusRow) {
	r.Summary[s.State]++
	if s.Problem {
		r.Problems++
	}
	if s.AgeSeconds.known && s.AgeSeconds.Duration >= r.OldestSeconds.Duration {
		r.OldestSeconds = s.AgeSeconds
	}
	if s.State != rotator.PolicyStateOK || !s.LeftSeconds.known {
		return
	}
	if r.NextDue.IsZero() || s.Due.Before(r.NextDue) {
		r.NextDue = s.Due
	}
	if s.LeftSeconds.Duration <= 7*24*time.Hour {
		r.DueWithin7Days++
	}
	if s.LeftSeconds.Duration <= 30*24*time.Hour {
		r.DueWithin30Days++
	}
}

// filter keeps the tenants in these states, and of them the most urgent; 0 means no limit.
func (r *statusReport) filter(states []rotator.PolicyState, limit int) {
	r.Tenants = slices.DeleteFunc(r.Tenants, func(s statusRow) bool { return !slices.Contains(states, s.State) })
	if limit > 0 && len(r.Tenants) > limit {
		r.BeyondLimit = len(r.Tenants) - limit
		r.Tenants = r.Tenants[:limit]
	}
}

func printStatus(out io.Writer, r *statusReport, format string, p palette) error {
	var err error
	switch format {
	case "json":
		err = encodeJSON(out, r)
	case "csv":
		err = printStatusCSV(out, r)
	default:
		err = printStatusTable(out, r, format == "wide", p)
	}
	if err != nil {
		return fmt.Errorf("print the status: %w", err)
	}
	return nil
}

const (
	outcomesPatience = 2 * time.Second
	maxOutcomes      = 256 << 20 // bytes; a million tenants with a reason each
)

// outcomes are a daemon's last results, by tenant name.
type outcomes map[string]monitor.TenantOutcome

// askDaemon queries the daemon at the address in the configuration. It returns nil if
// no address is configured, and an error if nothing answers.
func askDaemon(ctx context.Context, c config.Listen) (outcomes, []monitor.LoginOutcome, error) {
	listen, err := listenOf(c)
	if err != nil || listen.Network == "" {
		return nil, nil, err
	}
	defer listen.Token.Wipe()
	ctx, cancel := context.WithTimeout(ctx, outcomesPatience)
	defer cancel()
	// The host is a loopback name: without a token the daemon answers only to those.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+monitor.OutcomesPath, nil)
	if err != nil {
		return nil, nil, err
	}
	prover := monitor.NewProver(listen.Token)
	guarded := !listen.Token.Empty()
	if guarded {
		prover.Sign(req) // another program may hold the port: never send it the token
	}
	resp, err := dialer(listen).RoundTrip(req)
	if err != nil {
		return nil, nil, fmt.Errorf("no daemon answers at %s: %w", c.Address, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s answers status %d: another program, or an older daemon", c.Address, resp.StatusCode)
	}
	if guarded && !prover.Trusts(resp) {
		return nil, nil, fmt.Errorf("%s answers without knowing the token of listen.token_file: another program", c.Address)
	}
	return readOutcomes(io.LimitReader(resp.Body, maxOutcomes))
}

func readOutcomes(from io.Reader) (outcomes, []monitor.LoginOutcome, error) {
	var doc monitor.Outcomes
	if err := json.NewDecoder(from).Decode(&doc); err != nil {
		return nil, nil, fmt.Errorf("read the daemon's answer: %w", err)
	}
	known := make(outcomes, len(doc.Tenants))
	for _, t := range doc.Tenants {
		known[t.Tenant] = t
	}
	return known, doc.Logins, nil
}

// dialer connects only to the daemon: it uses no proxy, and it replaces an address that
// stands for all interfaces by loopback.
func dialer(l monitor.Listen) *http.Transport {
	return &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, l.Network, reachable(l.Network, l.Address))
		},
	}
}

func reachable(network, address string) string {
	host, port, err := net.SplitHostPort(address)
	if network != "tcp" || err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("localhost", port)
	}
	return address
}
