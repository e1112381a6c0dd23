package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"mailu-rotator/internal/text"
)

func newConfigCommand(path *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check the configuration",
		Args:  cobra.NoArgs,
		// For a command that cannot run cobra takes any argument as a request for help.
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "check",
		Short: "Check the configuration and every file that it names",
		Long: `Check the configuration and every file that it names: unknown keys, values,
who may read the secret files. It sends no request. All errors are reported
together; the exit status is then 1. A hook that cannot be run is a warning.`,
		Example: "  mailu-rotator config check --config /etc/mailu-rotator/config.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(*path)
			if err != nil {
				return err
			}
			for _, err := range lines(cfg.CheckHooks()) {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: this hook is not run: %s\n", text.Escape(err.Error()))
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is valid: Vault %s, login by %s, %d Mailu server(s)\n",
				*path, cfg.Vault.Address, cfg.Vault.Auth.Method, len(cfg.Mailu.Servers))
			return nil
		},
	})
	return cmd
}
