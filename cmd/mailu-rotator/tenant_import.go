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
with names in any case, and with empty lines and columns, which do not count. It
has to be in UTF-8; another encoding is refused.

All that is wrong with the file is reported at once, before anything is done.
A dry run reads Vault and asks Mailu about each user, as that of tenant add does.
Servers are worked on as in a sweep: one tenant first, alone, then several at a
time. Running it again does only what is missing.

Exit status: 0 all added, or tenants already; 1 could not run, or the file is not
well; 2 some failed, the table says which; 130 interrupted.`,
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
