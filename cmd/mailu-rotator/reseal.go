package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"mailu-rotator/rotator/sweep"
)

// resealFlags are the flags of reseal, as given.
type resealFlags struct {
	selectionFlags
	dryRun bool
	output string
}

func newResealCommand(path *string) *cobra.Command {
	var flags resealFlags
	cmd := &cobra.Command{
		Use:   "reseal",
		Short: "Seal the passwords in Vault with the newest master key",
		Long: `Seal the current password of every record with the newest version of the master
key, if it is sealed with an older one. The passwords and their ages do not change;
Mailu is not asked.

Use it for maintenance, such as before raising min_decryption_version. It does not
help against a leaked key, which opens every sealed password that was ever copied:
then rotate the key and use --run-now.

A record with a half-finished rotation is skipped and counts as failed, because the
rotation still needs its key.

Exit status: 0 all sealed with the newest key; 1 could not run; 2 some are not,
the table says why; 130 interrupted.`,
		Example: `  mailu-rotator reseal --dry-run
  mailu-rotator reseal && vault write transit/keys/smtp-master/config min_decryption_version=2`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runReseal(cmd.Context(), *path, flags, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags.register(cmd.Flags())
	cmd.Flags().BoolVar(&flags.dryRun, "dry-run", false, "show what would be done and change nothing")
	registerOutput(cmd.Flags(), &flags.output)
	return cmd
}

func runReseal(ctx context.Context, path string, flags resealFlags, stdout, stderr io.Writer) error {
	var report sweep.Report
	interrupted, err := runOnce(ctx, path, stderr, func(ctx context.Context, a *app) error {
		var sel sweep.Selection
		if err := checkOutput(flags.output); err != nil {
			return err
		}
		if err := flags.restrict(&sel, a.cfg); err != nil {
			return err
		}
		return a.with(ctx, func(s *sweep.Sweep) (err error) {
			s.DryRun = flags.dryRun
			report, err = s.Reseal(ctx, sel)
			return err
		})
	})
	if err != nil {
		return err
	}
	if err := printReport(stdout, report, flags.output); err != nil {
		return err
	}
	return exitStatus(report, interrupted)
}
