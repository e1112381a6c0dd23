package main

import (
	"context"

	"github.com/spf13/cobra"

	"mailu-rotator/rotator/sweep"
)

func newResealCommand(path *string) *cobra.Command {
	var selection selectionFlags
	var flags reportFlags
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
			return runReport(cmd, *path, flags.output, func(ctx context.Context, a *app) (sweep.Report, error) {
				sel, err := selection.parse(a.cfg)
				if err != nil {
					return sweep.Report{}, err
				}
				return inSession(ctx, a, func(s *session) (sweep.Report, error) {
					s.DryRun = flags.dryRun
					return s.Reseal(ctx, sel)
				})
			})
		},
	}
	selection.register(cmd)
	flags.register(cmd)
	return cmd
}
