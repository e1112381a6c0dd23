package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"mailu-rotator/rotator"
)

func newTenantImportCommand(path *string) *cobra.Command {
	var flags addingFlags
	cmd := &cobra.Command{
		Use:   "import FILE.csv",
		Short: "Add the tenants of a CSV file",
		Long: `Add the tenants of a CSV file, each as tenant add does. The first line names the
columns: user and webmail_url, and if wanted tenant and policy.

The file is read as spreadsheets write it: separated by commas, semicolons or tabs,
with names in any case; empty lines and columns are ignored. It must be UTF-8;
another encoding is refused.

All errors in the file are reported together, before anything changes. A dry run
reads Vault and asks Mailu about each user, as that of tenant add does. On each
server one tenant is added first, alone, then several at a time, as in a sweep.
Running it again adds only what is missing.

Exit status: 0 all added, or tenants already; 1 could not run, or the file has
errors; 2 some failed, the table says which; 130 interrupted.`,
		Example: `  mailu-rotator tenant import --dry-run tenants.csv
  mailu-rotator tenant import --vault-token-from-env tenants.csv`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runAdditions(cmd.Context(), *path, flags, cmd.OutOrStdout(), cmd.ErrOrStderr(), func() ([]rotator.Addition, error) {
				return readRoster(args[0])
			})
		},
	}
	flags.register(cmd.Flags())
	return cmd
}

func readRoster(path string) ([]rotator.Addition, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	additions, err := rotator.ReadRoster(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return additions, nil
}
