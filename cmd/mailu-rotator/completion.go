package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mailu-rotator/internal/config"
)

// completeValues lets the shell complete the values of flags without network access:
// fixed values, and names from the configuration. A flag's own completion function
// stays.
func completeValues(root *cobra.Command, path *string) {
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	values := map[string]cobra.CompletionFunc{
		"config": cobra.FixedCompletions([]string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt),
		"output": cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp),
		"server": origins(path),
	}
	commands := []*cobra.Command{root}
	for i := 0; i < len(commands); i++ {
		cmd := commands[i]
		commands = append(commands, cmd.Commands()...)
		register := func(f *pflag.Flag) {
			if complete := values[f.Name]; complete != nil {
				_ = cmd.RegisterFlagCompletionFunc(f.Name, complete) // an error: it has its own completion
			}
		}
		cmd.LocalNonPersistentFlags().VisitAll(register)
		cmd.PersistentFlags().VisitAll(register)
	}
}

// origins returns the origins of the configuration that --config names. An unreadable
// or invalid one completes nothing: the command itself reports it.
func origins(path *string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		cfg, err := config.Load(*path, secretless)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var all []cobra.Completion
		for _, server := range cfg.Mailu.Servers {
			all = append(all, string(server.Origin))
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}
