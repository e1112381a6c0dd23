package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mailu-rotator/internal/config"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

const defaultConfigPath = "/etc/mailu-rotator/config.yaml"

func newRootCommand() *cobra.Command {
	var (
		path     string
		isRunNow bool
		now      runNowFlags
	)
	root := &cobra.Command{
		Use:   "mailu-rotator",
		Short: "Rotate the Mailu admin passwords that are kept in Vault",
		Long: `mailu-rotator keeps the Mailu admin password of every tenant younger than its
policy says. The encrypted copy of record is in HashiCorp Vault.

Without --run-now it runs as a daemon, on the schedule of its configuration:
SIGTERM finishes what is in flight and stops, SIGHUP reloads the configuration.

With --run-now it rotates every tenant at once, whatever its age, and exits:
0 all done, 2 some tenants failed, 1 could not run, 130 interrupted.`,
		Example: `  mailu-rotator --config /etc/mailu-rotator/config.yaml
  mailu-rotator --run-now --dry-run
  mailu-rotator --run-now --server https://mail.example.com`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !isRunNow {
				if flag := flagOfRunNow(cmd.Flags()); flag != "" {
					return fmt.Errorf("--%s needs --run-now", flag)
				}
				return runDaemon(cmd.Context(), path, cmd.ErrOrStderr())
			}
			return runNow(cmd, path, now)
		},
	}
	root.PersistentFlags().StringVarP(&path, "config", "c", defaultConfigPath, "configuration `file`")
	complete(root, "config", cobra.FixedCompletions([]string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt))
	root.Flags().BoolVar(&isRunNow, "run-now", false, "rotate everything now, whatever its age, then exit")
	now.register(root)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return errors.New(err.Error() + "; see mailu-rotator --help")
	})
	root.AddCommand(newStatusCommand(&path), newDoctorCommand(&path), newShowCommand(&path), newVerifyCommand(&path), newRollbackCommand(&path),
		newTenantCommand(&path), newResealCommand(&path), newConfigCommand(&path), newPolicyCommand(&path), newVersionCommand())
	addManCommand(root)
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	return root
}

// newGroup returns a command that only holds others.
func newGroup(use, short string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		// For a command that cannot run cobra takes any argument as a request for help.
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.AddCommand(commands...)
	return group
}

// flagOfRunNow returns the first flag that was given and requires --run-now.
func flagOfRunNow(flags *pflag.FlagSet) (name string) {
	flags.Visit(func(f *pflag.Flag) {
		if name == "" && f.Name != "config" && f.Name != "run-now" {
			name = f.Name
		}
	})
	return name
}

type runNowFlags struct {
	selectionFlags
	reportFlags
	dueOnly       bool
	rotatedBefore string
	limit         uint
}

func (f *runNowFlags) register(cmd *cobra.Command) {
	f.selectionFlags.register(cmd)
	f.reportFlags.register(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.dueOnly, "due-only", false, "only tenants that are due, as the daemon does")
	flags.StringVar(&f.rotatedBefore, "rotated-before", "", "only tenants last rotated before this `time` (RFC 3339 or a date; default the start of this run)")
	flags.UintVar(&f.limit, "limit", 0, "start at most this many rotations (0 means no limit)")
}

// selection checks the flags against each other and the configuration.
func (f *runNowFlags) selection(cfg *config.Config) (sel sweep.Selection, err error) {
	if f.dueOnly && f.rotatedBefore != "" {
		return sel, errors.New("--due-only and --rotated-before exclude each other")
	}
	before, err := parseTime(f.rotatedBefore)
	if err != nil {
		return sel, fmt.Errorf("--rotated-before: %w", err)
	}
	sel, err = f.parse(cfg)
	sel.All, sel.Limit, sel.RotatedBefore = !f.dueOnly, int(f.limit), before
	return sel, err
}

func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither like 2026-01-02T15:04:05Z nor like 2026-01-02", s)
}

func runNow(cmd *cobra.Command, path string, flags runNowFlags) error {
	return runReport(cmd, path, flags.output, func(ctx context.Context, a *app) (sweep.Report, error) {
		sel, err := flags.selection(a.cfg)
		if err != nil {
			return sweep.Report{}, err
		}
		report, err := inSession(ctx, a, func(s *session) (sweep.Report, error) {
			s.DryRun = flags.dryRun
			return s.Run(ctx, sel, 0)
		})
		if !flags.dryRun {
			a.refused(ctx, rotator.SweepRefused, err)
		}
		return report, err
	})
}
