package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"mailu-rotator/internal/config"
	"mailu-rotator/internal/text"
	"mailu-rotator/rotator"
	"mailu-rotator/vault"
)

func newConfigCommand(path *string) *cobra.Command {
	return newGroup("config", "Check and show the configuration", newConfigCheckCommand(path, findService), newConfigShowCommand(path))
}

// serviceUser is the User= of the units.
const serviceUser = "mailu-rotator"

// findService returns the account of the service on this host, for root: root can read
// every file, and any other user learns by opening them.
func findService() (account config.Account, found bool) {
	if os.Geteuid() != 0 {
		return account, false
	}
	account, err := config.AccountOf(serviceUser)
	return account, err == nil
}

func newConfigCheckCommand(path *string, service func() (config.Account, bool)) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and every file that it names",
		Long: `Check the configuration and every file that it names: unknown keys, values,
who may read the secret files. It sends no request. All errors are reported
together; the exit status is then 1. Warnings are a hook that cannot be run, and,
for root, a file that the service's user cannot read, or a hook that it cannot run:
mailu-rotator, if this host has it. Credentials that systemd passes (LoadCredential=) are not such files.`,
		Example: "  mailu-rotator config check --config /etc/mailu-rotator/config.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(*path)
			if err != nil {
				return err
			}
			warn := func(what string, errs []error) {
				for _, err := range errs {
					fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s: %s\n", what, text.Escape(err.Error()))
				}
			}
			warn("this hook is not run", cfg.CheckHooks())
			if account, found := service(); found {
				files, hooks := cfg.CheckAccess(*path, getenv, account)
				warn("the service cannot start", files)
				warn("the service does not run this hook", hooks)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is valid: Vault %s, login by %s, %d Mailu server(s)\n",
				*path, cfg.Vault.Address, cfg.Vault.Auth.Method, len(cfg.Mailu.Servers))
			return nil
		},
	}
}

func newConfigShowCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Print the effective configuration",
		Long: `Print the configuration with every default, and with what the environment gave, as
YAML that may replace the file. It holds no secret: the files that it names are not
read.`,
		Example: "  mailu-rotator config show",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(*path, secretless)
			if err != nil {
				return err
			}
			shown, err := cfg.YAML()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(shown)
			return err
		},
	}
}

func newPolicyCommand(path *string) *cobra.Command {
	var withCreate, withRemove, reader bool
	var tenants []string
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Print the minimal Vault policy for this configuration",
		Long: `Print the minimal Vault policy for this configuration. It cannot create records, so
that a deleted tenant cannot come back by accident; to add tenants, use the one
of --with-create, and to remove them that of --with-remove.

--reader prints the one for other programs, which read passwords to log in with them;
with --tenant only those of the tenants given. Whoever has it exports the master key,
which opens every sealed password, wherever that comes from.`,
		Example: `  mailu-rotator policy | vault policy write mailu-rotator -
  mailu-rotator policy --with-create | vault policy write mailu-rotator-add -
  mailu-rotator policy --with-remove | vault policy write mailu-rotator-remove -
  mailu-rotator policy --reader | vault policy write mailu-reader -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(tenants) > 0 && !reader {
				return errors.New("--tenant goes with --reader: the other policies are for all tenants")
			}
			cfg, err := config.Load(*path, secretless)
			if err != nil {
				return err
			}
			least := vault.Policy
			switch {
			case withCreate:
				least = vault.AddingPolicy
			case withRemove:
				least = vault.RemovingPolicy
			case reader:
				least = func(cfg vault.Config) (string, error) { return readingPolicy(cfg, tenants) }
			}
			policy, err := least(vaultConfigOf(cfg.Vault))
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), policy)
			return nil
		},
	}
	cmd.Flags().BoolVar(&withCreate, "with-create", false, "the one for adding tenants")
	cmd.Flags().BoolVar(&withRemove, "with-remove", false, "the one for removing tenants, which opens no password")
	cmd.Flags().BoolVar(&reader, "reader", false, "the one for programs that read passwords")
	cmd.Flags().StringSliceVar(&tenants, "tenant", nil, "with --reader: only this tenant's password (an id; repeatable)")
	cmd.MarkFlagsMutuallyExclusive("with-create", "with-remove", "reader")
	return cmd
}

// readingPolicy takes whole ids: Vault, which knows the others, is not asked.
func readingPolicy(cfg vault.Config, ids []string) (string, error) {
	tenants := make([]rotator.TenantID, len(ids))
	for i, id := range ids {
		tenant, err := rotator.ParseTenantID(id)
		if err != nil {
			return "", err
		}
		tenants[i] = tenant
	}
	return vault.ReadingPolicy(cfg, tenants...)
}

// secretless lets an administrator print the policy on a host without the secrets,
// before the service has any. The files are not read.
func secretless(name string) string {
	absent := map[string]string{"VAULT_TOKEN": "none", "CREDENTIALS_DIRECTORY": "/nonexistent"}
	return cmp.Or(getenv(name), absent[name])
}
