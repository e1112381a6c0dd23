package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"mailu-rotator/rotator/sweep"
)

func newRollbackCommand(path *string) *cobra.Command {
	var to uint
	var output string
	cmd := &cobra.Command{
		Use:   "rollback TENANT",
		Short: "Restore an earlier password of a tenant",
		Long: `Restore an earlier password of a tenant from the history of its record in
Vault, and push it to Mailu by the same protocol as a new one. A half-finished
rotation is finished first.

Without --to it takes the newest one that opens and differs from the current
password, however each is sealed. If Mailu already holds it, nothing is pushed.
TENANT is the tenant's id, 4 or more first characters of it, or the address of its user.

The password keeps its own age. If that makes it due, the next sweep replaces it,
except in a record with rotation_policy "manual".

Exit status: 0 restored; 1 could not run, or the history has no such password;
2 started and refused or failed, the table says why; 130 interrupted.`,
		Example: `  mailu-rotator rollback 0f8fad5b-d9cb-469f-a165-70867728950e
  mailu-rotator rollback 0f8fad5b-d9cb-469f-a165-70867728950e --to 3`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("to") && to == 0 {
				return errors.New("--to: the first version is 1")
			}
			return runRollback(cmd, *path, args[0], int(to), output)
		},
	}
	cmd.Flags().UintVar(&to, "to", 0, "`version` of the record that had the password (default the newest that differs from the current one)")
	registerOutput(cmd, &output)
	return cmd
}

func runRollback(cmd *cobra.Command, path, name string, to int, output string) error {
	started := time.Now()
	var keep string // the command that keeps a restored password
	err := runReport(cmd, path, output, true, func(ctx context.Context, a *app) (report sweep.Report, err error) {
		if err := new(sweep.Selection).Select(name); err != nil { // before the login
			return report, err
		}
		row, err := inSession(ctx, a, func(s *session) (sweep.Row, error) { return s.Rollback(ctx, name, to) })
		if err == nil && !row.Outcome.Failure() {
			keep = fmt.Sprintf("vault kv patch %s rotation_policy=manual", recordArgs(a.cfg.Vault, row.Tenant))
		}
		return sweep.Report{Started: started, Finished: time.Now(), Rows: []sweep.Row{row}}, err
	})
	if keep != "" && output == "table" {
		fmt.Fprintf(cmd.OutOrStdout(), "the password has its own age: the next sweep replaces it if the policy calls it due\nto keep it: %s\n", keep)
	}
	return err
}

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
			return runReport(cmd, *path, flags.output, flags.all || selection.named(), func(ctx context.Context, a *app) (sweep.Report, error) {
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
	registerAll(cmd, &flags.all)
	return cmd
}
