package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

func newTenantCommand(path *string) *cobra.Command {
	return newGroup("tenant", "Add, list and remove tenants",
		newTenantAddCommand(path), newTenantImportCommand(path), newTenantListCommand(path), newTenantRemoveCommand(path))
}

// newTenantListCommand is status by the name at which people look for it.
func newTenantListCommand(path *string) *cobra.Command {
	cmd := newStatusCommand(path)
	cmd.Use, cmd.Short = "list", "List the tenants, as status does"
	cmd.Example = strings.ReplaceAll(cmd.Example, "mailu-rotator status", "mailu-rotator tenant list")
	return cmd
}

// addingFlags are the common flags of adding one tenant and many.
type addingFlags struct {
	operatorLogin
	reportFlags
	first      bool
	unreadable []string
}

func (f *addingFlags) register(cmd *cobra.Command) {
	f.operatorLogin.register(cmd)
	f.reportFlags.register(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.first, "first", false, "there is no tenant in Vault yet")
	flags.StringArrayVar(&f.unreadable, "unreadable", nil, "the record of this `tenant` cannot be read, and names none of these users (repeatable)")
}

func newTenantAddCommand(path *string) *cobra.Command {
	var flags addingFlags
	var addition sweep.Addition
	var tenant string
	cmd := &cobra.Command{
		Use:   "add",
		Short: "Add a tenant: its record in Vault, its user in Mailu",
		Long: `Add a tenant: write its record to Vault and give its user in Mailu a first
password, by the protocol of a rotation. If Mailu has the user, its password
is replaced; otherwise the user is created, in a domain that Mailu has.

Run the same command again to resume a failed addition. Existing tenants are not
changed.

It needs a Vault token that may create records: see policy --with-create.

A dry run reads Vault and asks Mailu about the user. It shows whether the user would
be taken over or created, or why Mailu refuses it.

Nothing is added while a record cannot be read: it may have the same user. Use
--unreadable to name such a tenant if you know that it has another user.

Exit status: 0 added, or a tenant already; 1 could not run; 2 failed, or left
half-added, the table says how; 130 interrupted.`,
		Example: `  mailu-rotator tenant add --user admin@example.com --webmail-url https://mail.example.com
  mailu-rotator tenant add --vault-token-from-env --dry-run \
      --user admin@example.com --webmail-url https://mail.example.com --policy 90_days`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			addition.Tenant = rotator.TenantID(tenant)
			flags.all = true // it names its tenant
			return runAdditions(cmd, *path, flags, func() ([]sweep.Addition, error) {
				return []sweep.Addition{addition}, nil
			})
		},
	}
	cmd.Flags().StringVar(&addition.Username, "user", "", "the user in Mailu, an `address`; taken over or created")
	cmd.Flags().StringVar(&addition.WebmailURL, "webmail-url", "", "the tenant's webmail: a `URL` of a server in the configuration")
	cmd.Flags().StringVar(&tenant, "tenant", "", "the tenant's `id`, a UUID version 4 (default a new one)")
	cmd.Flags().StringVar(&addition.Policy, "policy", "", "how old the password may grow: `N_days` or manual (default as configured)")
	for _, required := range []string{"user", "webmail-url"} {
		_ = cmd.MarkFlagRequired(required) // the flag is defined above
	}
	flags.register(cmd)
	return cmd
}

// runAdditions reads the list of additions after the configuration has been checked.
func runAdditions(cmd *cobra.Command, path string, flags addingFlags, read func() ([]sweep.Addition, error)) error {
	return runReport(cmd, path, flags.output, flags.all, func(ctx context.Context, a *app) (report sweep.Report, err error) {
		if err := flags.apply(a); err != nil {
			return report, err
		}
		additions, err := read()
		if err != nil {
			return report, err
		}
		return inSession(ctx, a, func(s *session) (sweep.Report, error) {
			for _, tenant := range flags.unreadable {
				s.Unreadable = append(s.Unreadable, rotator.TenantID(tenant))
			}
			s.DryRun = flags.dryRun
			return s.Add(ctx, s, additions, flags.first)
		})
	})
}

// CreateRecord implements rotator.Creator, with the methods of [mailu.Servers].
func (s *session) CreateRecord(ctx context.Context, tenant rotator.TenantID, fields map[string]any) (int, error) {
	version, err := s.vault.Create(ctx, tenant, fields)
	if errors.Is(err, rotator.ErrForbidden) {
		return 0, fmt.Errorf("%w: see mailu-rotator policy --with-create, and --vault-token-from-env", err)
	}
	return version, err
}

func newTenantImportCommand(path *string) *cobra.Command {
	var flags addingFlags
	cmd := &cobra.Command{
		Use:   "import FILE.csv|-",
		Short: "Add the tenants of a CSV file",
		Long: `Add the tenants of a CSV file, or of standard input (-), each as tenant add does.
The first line names the columns: user and webmail_url, and if wanted tenant and
policy.

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
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeCSV,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runAdditions(cmd, *path, flags, func() ([]sweep.Addition, error) {
				return readCSV(args[0], cmd.InOrStdin())
			})
		},
	}
	flags.register(cmd)
	registerAll(cmd, &flags.all)
	return cmd
}

// completeCSV completes the one file's name.
func completeCSV(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []cobra.Completion{"csv"}, cobra.ShellCompDirectiveFilterFileExt
}

func readCSV(path string, in io.Reader) ([]sweep.Addition, error) {
	if path == "-" {
		path = "standard input"
	} else {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	additions, err := sweep.ReadCSV(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return additions, nil
}
