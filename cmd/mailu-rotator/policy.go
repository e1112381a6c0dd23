package main

import (
	"cmp"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"mailu-rotator/config"
	"mailu-rotator/vault"
)

func newPolicyCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use:     "policy",
		Short:   "Print the least Vault policy for this configuration",
		Example: "  mailu-rotator policy | vault policy write mailu-rotator -",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(*path, secretless)
			if err != nil {
				return err
			}
			policy, err := vault.Policy(vaultConfigOf(cfg.Vault))
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), policy)
			return nil
		},
	}
}

// secretless lets the policy be printed where the secrets are not: by an
// administrator, before the service has any. Nothing is read from these.
func secretless(name string) string {
	value := os.Getenv(name)
	switch name {
	case "VAULT_TOKEN":
		return cmp.Or(value, "none")
	case "CREDENTIALS_DIRECTORY":
		return cmp.Or(value, "/nonexistent")
	}
	return value
}
