package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"mailu-rotator/internal/config"
	"mailu-rotator/vault"
)

func newPolicyCommand(path *string) *cobra.Command {
	var withCreate bool
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Print the minimal Vault policy for this configuration",
		Long: `Print the minimal Vault policy for this configuration. It cannot create records, so
that a deleted tenant cannot come back by accident; to add tenants, use the one
of --with-create.`,
		Example: `  mailu-rotator policy | vault policy write mailu-rotator -
  mailu-rotator policy --with-create | vault policy write mailu-rotator-add -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(*path, secretless)
			if err != nil {
				return err
			}
			least := vault.Policy
			if withCreate {
				least = vault.AddingPolicy
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
	return cmd
}

// secretless lets an administrator print the policy on a host without the secrets,
// before the service has any. The files are not read.
func secretless(name string) string {
	value := getenv(name)
	switch name {
	case "VAULT_TOKEN":
		return cmp.Or(value, "none")
	case "CREDENTIALS_DIRECTORY":
		return cmp.Or(value, "/nonexistent")
	}
	return value
}
