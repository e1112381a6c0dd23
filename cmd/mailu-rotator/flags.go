package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mailu-rotator/crypto"
	"mailu-rotator/internal/config"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
	"mailu-rotator/vault"
)

// selectionFlags holds the flags that limit a run to some tenants.
type selectionFlags struct {
	tenants []string
	servers []string
}

func (f *selectionFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.tenants, "tenant", nil, "only the tenant with this `id` (repeatable)")
	flags.StringArrayVar(&f.servers, "server", nil, "only tenants of the Mailu server with this `origin` (repeatable)")
	complete(cmd, "server", completeOrigins)
}

func (f *selectionFlags) parse(cfg *config.Config) (sel sweep.Selection, err error) {
	for _, name := range f.tenants {
		tenant, err := rotator.ParseTenantID(name)
		if err != nil {
			return sel, fmt.Errorf("--tenant: %w", err)
		}
		if !slices.Contains(sel.Tenants, tenant) {
			sel.Tenants = append(sel.Tenants, tenant)
		}
	}
	for _, raw := range f.servers {
		origin, err := rotator.ParseOrigin(raw)
		if err != nil {
			return sel, fmt.Errorf("--server: %w", err)
		}
		if !slices.ContainsFunc(cfg.Mailu.Servers, func(s config.Server) bool { return s.Origin == origin }) {
			return sel, fmt.Errorf("--server: %s is not among mailu.servers in the configuration", origin)
		}
		sel.Origins = append(sel.Origins, origin)
	}
	return sel, nil
}

// reportFlags are those of commands that change tenants and report on each.
type reportFlags struct {
	dryRun bool
	output string
}

func (f *reportFlags) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "show what would be done and change nothing")
	registerOutput(cmd, &f.output)
}

func registerOutput(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVar(output, "output", "table", "`format` of the result: table or json")
	complete(cmd, "output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

func checkOutput(output string) error {
	if output != "table" && output != "json" {
		return fmt.Errorf("--output %q is neither table nor json", output)
	}
	return nil
}

// operatorLogin is the flag of commands that an operator runs with their own Vault
// token, because the program's policy does not allow what they do.
type operatorLogin struct{ fromEnv bool }

func (l *operatorLogin) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&l.fromEnv, "vault-token-from-env", false, "use the token in VAULT_TOKEN instead of the configured login")
}

// apply replaces the app's login. We never revoke an operator's token.
func (l *operatorLogin) apply(a *app) error {
	if !l.fromEnv {
		return nil
	}
	token := strings.TrimSpace(getenv("VAULT_TOKEN"))
	if token == "" {
		return errors.New("--vault-token-from-env: VAULT_TOKEN is not set: log in to Vault and export it")
	}
	login, err := vault.NewLogin(vault.Auth{Method: vault.MethodToken, Token: crypto.SecretFromString(token)})
	if err != nil {
		return err
	}
	a.login = login
	return nil
}

// complete lets the shell complete the values of a flag, without network access.
func complete(cmd *cobra.Command, flag string, values cobra.CompletionFunc) {
	_ = cmd.RegisterFlagCompletionFunc(flag, values) // the flag was defined just before
}

// completeOrigins returns the origins of the configuration that --config names. An
// unreadable or invalid one completes nothing: the command itself reports it.
func completeOrigins(cmd *cobra.Command, _ []string, _ string) (all []cobra.Completion, _ cobra.ShellCompDirective) {
	cfg, err := config.Load(cmd.Flag("config").Value.String(), secretless)
	if err == nil {
		for _, server := range cfg.Mailu.Servers {
			all = append(all, string(server.Origin))
		}
	}
	return all, cobra.ShellCompDirectiveNoFileComp
}
