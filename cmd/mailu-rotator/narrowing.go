package main

import (
	"fmt"
	"slices"

	"github.com/spf13/pflag"

	"mailu-rotator/internal/config"
	"mailu-rotator/rotator"
)

// narrowing holds the flags that limit a run to some tenants.
type narrowing struct {
	tenants []string
	servers []string
}

func (n *narrowing) register(flags *pflag.FlagSet) {
	flags.StringArrayVar(&n.tenants, "tenant", nil, "only the tenant with this `id` (repeatable)")
	flags.StringArrayVar(&n.servers, "server", nil, "only tenants of the Mailu server with this `origin` (repeatable)")
}

// narrow checks the flags and applies them to the selection.
func (n *narrowing) narrow(sel *rotator.Selection, cfg *config.Config) error {
	for _, name := range n.tenants {
		tenant, err := rotator.ParseTenantID(name)
		if err != nil {
			return fmt.Errorf("--tenant: %w", err)
		}
		if !slices.Contains(sel.Tenants, tenant) {
			sel.Tenants = append(sel.Tenants, tenant)
		}
	}
	for _, raw := range n.servers {
		origin, err := rotator.ParseOrigin(raw)
		if err != nil {
			return fmt.Errorf("--server: %w", err)
		}
		if !slices.ContainsFunc(cfg.Mailu.Servers, func(s config.Server) bool { return s.Origin == origin }) {
			return fmt.Errorf("--server: %s is not among mailu.servers in the configuration", origin)
		}
		sel.Origins = append(sel.Origins, origin)
	}
	return nil
}

func registerOutput(flags *pflag.FlagSet, output *string) {
	flags.StringVar(output, "output", "table", "`format` of the result: table or json")
}

func checkOutput(output string) error {
	if output != "table" && output != "json" {
		return fmt.Errorf("--output %q is neither table nor json", output)
	}
	return nil
}
