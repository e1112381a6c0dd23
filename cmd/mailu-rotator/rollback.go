package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// rollbackFlags are the arguments and flags of rollback, as given.
type rollbackFlags struct {
	tenant string
	to     uint
	output string
}

func newRollbackCommand(path *string) *cobra.Command {
	var flags rollbackFlags
	cmd := &cobra.Command{
		Use:   "rollback TENANT",
		Short: "Restore an earlier password of a tenant",
		Long: `Restore an earlier password of a tenant from the history of its record in
Vault, and push it to Mailu by the same protocol as a new one. A half-finished
rotation is finished first.

Without --to it takes the newest one that opens and differs from the current
password, however each is sealed. If Mailu already holds it, nothing is pushed.

The password keeps its own age. If that makes it due, the next sweep replaces it,
except in a record with rotation_policy "manual".

Exit status: 0 restored; 1 could not run, or the history has no such password;
2 started and refused or failed, the table says why; 130 interrupted.`,
		Example: `  mailu-rotator rollback 0f8fad5b-d9cb-469f-a165-70867728950e
  mailu-rotator rollback 0f8fad5b-d9cb-469f-a165-70867728950e --to 3`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("to") && flags.to == 0 {
				return errors.New("--to: the first version is 1")
			}
			flags.tenant = args[0]
			return runRollback(cmd.Context(), *path, flags, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().UintVar(&flags.to, "to", 0, "`version` of the record that had the password (default the newest that differs from the current one)")
	registerOutput(cmd.Flags(), &flags.output)
	return cmd
}

func runRollback(ctx context.Context, path string, flags rollbackFlags, stdout, stderr io.Writer) error {
	report := sweep.Report{Started: time.Now()}
	var record string
	interrupted, err := runOnce(ctx, path, stderr, func(ctx context.Context, a *app) error {
		if err := checkOutput(flags.output); err != nil {
			return err
		}
		tenant, err := rotator.ParseTenantID(flags.tenant)
		if err != nil {
			return err
		}
		record = recordArgs(a.cfg.Vault, string(tenant))
		return a.with(ctx, func(s *sweep.Sweep) error {
			row, err := s.Rollback(ctx, tenant, int(flags.to))
			report.Rows = []sweep.Row{row}
			return err
		})
	})
	if err != nil {
		return err
	}
	report.Finished = time.Now()
	if err := printReport(stdout, report, flags.output); err != nil {
		return err
	}
	if flags.output == "table" && report.Failures() == 0 {
		fmt.Fprintf(stdout, "the password has its own age: the next sweep replaces it if the policy calls it due\n"+
			"to keep it: vault kv patch %s rotation_policy=manual\n", record)
	}
	return exitStatus(report, interrupted)
}
