package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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
	root.Flags().BoolVar(&isRunNow, "run-now", false, "rotate everything now, whatever its age, then exit")
	now.register(root.Flags())
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return errors.New(err.Error() + "; see mailu-rotator --help")
	})
	root.AddCommand(newStatusCommand(&path), newDoctorCommand(&path), newShowCommand(&path), newVerifyCommand(&path), newRollbackCommand(&path),
		newTenantCommand(&path), newResealCommand(&path), newConfigCommand(&path), newPolicyCommand(&path), newVersionCommand())
	addManCommand(root)
	completeValues(root, &path)
	return root
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
