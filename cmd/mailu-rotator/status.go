package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mailu-rotator/internal/config"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

// statusFlags are the flags of status, as given.
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
whole sweep.`,
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
	flags.register(cmd.Flags())
	return cmd
}

func (f *statusFlags) register(flags *pflag.FlagSet) {
	f.selectionFlags.register(flags)
	flags.BoolVar(&f.due, "due", false, "show only what is due or overdue")
	flags.BoolVar(&f.overdue, "overdue", false, "show only what is overdue")
	flags.StringArrayVar(&f.states, "state", nil, "show only what is in this `state` (repeatable)")
	flags.UintVar(&f.limit, "limit", 0, "show at most this many tenants, most urgent first (0 means no limit)")
	flags.BoolVar(&f.check, "check", false, "exit with 2 if a tenant needs attention, shown or not")
	flags.StringVar(&f.output, "output", "table", "`format`: table, wide, json or csv")
	flags.StringVar(&f.color, "color", "auto", "color tables: `when` is auto (on a terminal, without NO_COLOR), always or never")
}

// shown checks the flags against each other and returns the states to show.
func (f *statusFlags) shown() ([]rotator.Standing, error) {
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
		return []rotator.Standing{rotator.StandingDue, rotator.StandingOverdue}, nil
	case f.overdue:
		return []rotator.Standing{rotator.StandingOverdue}, nil
	case len(f.states) == 0:
		return rotator.Standings(), nil
	}
	var shown []rotator.Standing
	for _, state := range f.states {
		if !slices.Contains(rotator.Standings(), rotator.Standing(state)) {
			return nil, fmt.Errorf("--state %q is none of %s", state, joined(rotator.Standings()))
		}
		shown = append(shown, rotator.Standing(state))
	}
	return shown, nil
}

func joined(all []rotator.Standing) string {
	texts := make([]string, len(all))
	for i, s := range all {
		texts[i] = string(s)
	}
	return strings.Join(texts, ", ")
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
		r, err = inSession(ctx, a, func(s *session) (*statusReport, error) {
			all, now, err := s.Status(ctx, sel)
			if err != nil {
				return nil, err
			}
			r := newStatusReport(all, now, timetableOf(a.cfg.Rotation))
			var known outcomes
			known, r.daemonErr = askDaemon(ctx, a.cfg.Listen)
			r.addOutcomes(known)
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
	problems := 0
	if flags.check {
		problems = r.problems
	}
	return statusOf(problems, interrupted)
}

func timetableOf(r config.Rotation) rotator.Timetable {
	return rotator.Timetable{Schedule: r.Schedule, Timezone: r.Timezone, Jitter: r.Jitter, Window: r.Window}
}

// statusReport is a summary of the fleet, and the tenants to list.
type statusReport struct {
	now        time.Time
	total      int
	count      map[rotator.Standing]int
	problems   int           // tenants that need attention
	vanishing  int           // of them, those whose record deletes itself
	oldest     time.Duration // of the known ages; negative: none is known
	next       time.Time     // when the first of the ok tenants falls due; zero: never
	week       int           // how many of them fall due within 7 days,
	month      int           // and within 30
	omitted    int           // tenants omitted by the limit
	tenants    []statusRow   // most urgent first
	fromDaemon bool          // the daemon has returned its last outcomes
	daemonErr  error         // why not, if it should have
}

// statusRow is a tenant's state at the time of the report.
type statusRow struct {
	status.Entry
	state   rotator.Standing
	problem bool
}

// newStatusReport sorts all tenants.
func newStatusReport(all []rotator.Status, now time.Time, t rotator.Timetable) *statusReport {
	rotator.SortByUrgency(all, now, t)
	r := &statusReport{now: now, total: len(all), count: map[rotator.Standing]int{}, oldest: -1, tenants: make([]statusRow, len(all))}
	for i, s := range all {
		r.tenants[i] = statusRow{status.Entry{Status: s}, s.Standing(now, t), s.Problem(now, t)}
		r.add(r.tenants[i])
	}
	return r
}

// addOutcomes adds the daemon's outcomes to the records.
func (r *statusReport) addOutcomes(known outcomes) {
	r.fromDaemon = known != nil
	for i := range r.tenants {
		if last, found := known[r.tenants[i].Tenant]; found {
			r.tenants[i].Outcome, r.tenants[i].At, r.tenants[i].Reason = last.Outcome, last.At, last.Reason
		}
	}
}

func (r *statusReport) add(s statusRow) {
	r.count[s.state]++
	if s.problem {
		r.problems++
	}
	if s.Vanishes() {
		r.vanishing++
	}
	if age, known := s.Age(r.now); known {
		r.oldest = max(r.oldest, age)
	}
	left, comes := s.Left(r.now)
	if s.state != rotator.StandingOK || !comes {
		return
	}
	if r.next.IsZero() || s.Due.Before(r.next) {
		r.next = s.Due
	}
	if left <= 7*24*time.Hour {
		r.week++
	}
	if left <= 30*24*time.Hour {
		r.month++
	}
}

// lastOutcome is the tenant's last outcome; for a record that deletes itself, when that
// happens.
func (s statusRow) lastOutcome(now time.Time) (o rotator.Outcome, at time.Time, reason string) {
	o, at, reason = s.LastOutcome(now)
	return o, at, cmp.Or(reason, s.Expiry())
}

// filter keeps only tenants in these states, and of them the most urgent; 0 means no
// limit. The totals are unchanged.
func (r *statusReport) filter(states []rotator.Standing, limit int) {
	r.tenants = slices.DeleteFunc(r.tenants, func(s statusRow) bool { return !slices.Contains(states, s.state) })
	if limit > 0 && len(r.tenants) > limit {
		r.omitted = len(r.tenants) - limit
		r.tenants = r.tenants[:limit]
	}
}

func printStatus(out io.Writer, r *statusReport, format string, p palette) error {
	var err error
	switch format {
	case "json":
		err = printStatusJSON(out, r)
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
