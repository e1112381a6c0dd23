package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mailu-rotator/internal/config"
	"mailu-rotator/rotator"
)

// statusFlags are the flags of status, as given.
type statusFlags struct {
	narrowing
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
			return runStatus(cmd.Context(), *path, flags, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags.register(cmd.Flags())
	return cmd
}

func (f *statusFlags) register(flags *pflag.FlagSet) {
	f.narrowing.register(flags)
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

func runStatus(ctx context.Context, path string, flags statusFlags, stdout, stderr io.Writer) error {
	shown, err := flags.shown()
	if err != nil {
		return err
	}
	var o *overview
	interrupted, err := attend(ctx, path, stderr, func(ctx context.Context, f *fleet) error {
		var sel rotator.Selection
		if err := flags.narrow(&sel, f.cfg); err != nil {
			return err
		}
		return f.with(ctx, func(s *rotator.Sweep) error {
			all, now, err := s.Status(ctx, sel)
			if err != nil {
				return err
			}
			o = newOverview(all, now, timetableOf(f.cfg.Rotation))
			var known outcomes
			known, o.unasked = askDaemon(ctx, f.cfg.Listen)
			o.remember(known)
			return nil
		})
	})
	if err != nil {
		return err
	}
	o.show(shown, int(flags.limit))
	if err := printOverview(stdout, o, flags.output, newPalette(flags.color, stdout)); err != nil {
		return err
	}
	problems := 0
	if flags.check {
		problems = o.problems
	}
	return statusOf(problems, interrupted)
}

func timetableOf(r config.Rotation) rotator.Timetable {
	return rotator.Timetable{Schedule: r.Schedule, Timezone: r.Timezone, Jitter: r.Jitter, Window: r.Window}
}
