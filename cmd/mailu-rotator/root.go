package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mailu-rotator/crypto"
	"mailu-rotator/internal/config"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
	"mailu-rotator/vault"
)

const defaultConfigPath = "/etc/mailu-rotator/config.yaml"

func newRootCommand() *cobra.Command {
	var (
		path     string
		isRunNow bool
		now      runNowFlags
	)
	root := &cobra.Command{
		Use:   "mailu-rotator",
		Short: "Rotate the Mailu admin passwords that are kept in Vault",
		Long: `mailu-rotator keeps the Mailu admin password of every tenant younger than its
policy says. The encrypted copy of record is in HashiCorp Vault.

Without --run-now it runs as a daemon, on the schedule of its configuration:
SIGTERM finishes what is in flight and stops, SIGHUP reloads the configuration.

With --run-now it rotates every tenant at once, whatever its age, and exits:
0 all done, 2 some tenants failed, 1 could not run, 130 interrupted. On a terminal
it first says how many, and asks, unless --yes or --tenant is given.`,
		Example: `  mailu-rotator --config /etc/mailu-rotator/config.yaml
  mailu-rotator --run-now --dry-run
  mailu-rotator --run-now --server https://mail.example.com`,
		Args:          noArgs,
		Version:       versionLine(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !isRunNow {
				if flag := flagOfRunNow(cmd.Flags()); flag != "" {
					return fmt.Errorf("--%s needs --run-now", flag)
				}
				return runDaemon(cmd.Context(), path, false, cmd.ErrOrStderr())
			}
			return runNow(cmd, path, now)
		},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.PersistentFlags().StringVarP(&path, "config", "c", cmp.Or(getenv("MAILU_ROTATOR_CONFIG"), defaultConfigPath), "configuration `file`")
	root.PersistentFlags().BoolP("quiet", "q", false, "log errors only, and show no progress")
	root.PersistentFlags().BoolP("verbose", "v", false, "log every step")
	root.MarkFlagsMutuallyExclusive("quiet", "verbose")
	complete(root, "config", cobra.FixedCompletions([]string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt))
	root.Flags().Bool("version", false, "print the version")
	root.Flags().BoolVar(&isRunNow, "run-now", false, "rotate everything now, whatever its age, then exit")
	now.register(root)
	for _, flag := range []string{"local", "dry-run", "due-only", "rotated-before", "limit", "tenant", "server"} {
		root.MarkFlagsMutuallyExclusive("attach", flag)
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return errors.New(err.Error() + "; see mailu-rotator --help")
	})
	root.AddCommand(newStatusCommand(&path), newDoctorCommand(&path), newShowCommand(&path), newVerifyCommand(&path), newRollbackCommand(&path),
		newTenantCommand(&path), newResealCommand(&path), newWorkerCommand(&path), newConfigCommand(&path), newPolicyCommand(&path), newVersionCommand())
	addManCommand(root)
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	return root
}

func newWorkerCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "worker",
		Short: "Rotate what the daemons of the cluster plan, without sweeps of its own",
		Long: "Rotate what the daemons of the cluster plan: takes batches for the servers in mailu.servers,\n" +
			"until it is stopped, and verifies these servers by verify.schedule. A daemon is a worker, too:\n" +
			"this is for a host that should plan nothing.",
		Example: "  mailu-rotator worker",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDaemon(cmd.Context(), *path, true, cmd.ErrOrStderr())
		},
	}
}

// noArgs refuses an argument, and names the command that it may have meant.
func noArgs(cmd *cobra.Command, args []string) error {
	err := cobra.NoArgs(cmd, args)
	if err == nil {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	if meant := cmd.SuggestionsFor(args[0]); len(meant) > 0 {
		return fmt.Errorf("%w: did you mean %s?", err, strings.Join(meant, " or "))
	}
	return err
}

// newGroup returns a command that only holds others.
func newGroup(use, short string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		Use: use, Short: short, Args: noArgs,
		// For a command that cannot run cobra takes any argument as a request for help.
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.AddCommand(commands...)
	return group
}

// flagOfRunNow returns the first flag that was given and requires --run-now.
func flagOfRunNow(flags *pflag.FlagSet) (name string) {
	flags.Visit(func(f *pflag.Flag) {
		if name == "" && f.Name != "config" && f.Name != "run-now" {
			name = f.Name
		}
	})
	return name
}

type runNowFlags struct {
	selectionFlags
	reportFlags
	dueOnly       bool
	yes           bool
	rotatedBefore string
	limit         uint
	local         bool
	attach        string
}

func (f *runNowFlags) register(cmd *cobra.Command) {
	f.selectionFlags.register(cmd)
	f.reportFlags.register(cmd)
	registerAll(cmd, &f.all)
	flags := cmd.Flags()
	flags.BoolVar(&f.dueOnly, "due-only", false, "only tenants that are due, as the daemon does")
	flags.StringVar(&f.rotatedBefore, "rotated-before", "", "only tenants last rotated before this `time` (RFC 3339, a date, or 2h for two hours ago; default the start of this run)")
	flags.BoolVarP(&f.yes, "yes", "y", false, "do not ask before a run over everything, as on a terminal it does")
	flags.BoolVar(&f.local, "local", false, "do all of it in this process, whatever cluster.engine says")
	flags.StringVar(&f.attach, "attach", "", "follow the `run` of another process and print its report")
	flags.UintVar(&f.limit, "limit", 0, "start at most this many rotations (0 means no limit)")
}

// selection checks the flags against each other and the configuration.
func (f *runNowFlags) selection(cfg *config.Config) (sel sweep.Selection, err error) {
	if f.dueOnly && f.rotatedBefore != "" {
		return sel, errors.New("--due-only and --rotated-before exclude each other")
	}
	before, err := parseTime(f.rotatedBefore, time.Now())
	if err != nil {
		return sel, fmt.Errorf("--rotated-before: %w", err)
	}
	sel, err = f.parse(cfg)
	sel.All, sel.Limit, sel.RotatedBefore = !f.dueOnly, int(f.limit), before
	return sel, err
}

func parseTime(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	if ago, err := time.ParseDuration(s); err == nil && ago > 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, fmt.Errorf("%q is not like 2026-01-02T15:04:05Z, 2026-01-02 or 2h", s)
}

func runNow(cmd *cobra.Command, path string, flags runNowFlags) error {
	return runReport(cmd, path, flags.output, flags.all || flags.named(), func(ctx context.Context, a *app) (sweep.Report, error) {
		sel, err := flags.selection(a.cfg)
		if err != nil {
			return sweep.Report{}, err
		}
		if flags.attach != "" {
			return a.attach(ctx, flags.attach)
		}
		report, err := inSession(ctx, a, func(s *session) (sweep.Report, error) {
			s.DryRun = flags.dryRun
			if !flags.yes && !flags.dueOnly && !flags.named() {
				s.Confirm = confirming(cmd.InOrStdin(), cmd.ErrOrStderr(), s.Servers)
			}
			if a.clustered() && !flags.local && !flags.named() {
				return a.runTogether(ctx, s, sel)
			}
			return s.Run(ctx, sel, 0)
		})
		if errors.Is(err, sweep.ErrDeclined) {
			return report, &statusError{code: exitInterrupted}
		}
		if !flags.dryRun {
			a.refused(ctx, rotator.SweepRefused, err)
		}
		return report, err
	})
}

// selectionFlags holds the flags that limit a run to some tenants.
type selectionFlags struct {
	tenants []string
	servers []string
}

func (f *selectionFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.tenants, "tenant", nil, "only the tenant with this `id`, beginning of an id, or user's address (repeatable)")
	flags.StringArrayVar(&f.servers, "server", nil, "only tenants of the Mailu server with this `origin` (repeatable)")
	complete(cmd, "server", completeOrigins)
}

// named reports whether the operator asked about single tenants: then each is shown.
func (f *selectionFlags) named() bool { return len(f.tenants) > 0 }

func (f *selectionFlags) parse(cfg *config.Config) (sel sweep.Selection, err error) {
	for _, name := range f.tenants {
		if err := sel.Select(name); err != nil {
			return sel, fmt.Errorf("--tenant: %w", err)
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
	all    bool
}

func (f *reportFlags) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "show what would be done and change nothing")
	registerOutput(cmd, &f.output)
}

func registerAll(cmd *cobra.Command, all *bool) {
	cmd.Flags().BoolVar(all, "all", false, "show every tenant in the table, not only what changed or failed")
}

func registerOutput(cmd *cobra.Command, output *string, more ...string) {
	flags := cmd.Flags()
	flags.StringVarP(output, "output", "o", "table", "`format` of the result: table or json")
	flags.BoolFunc("json", "the same as --output json", func(string) error {
		*output = "json"
		return nil
	})
	complete(cmd, "output", cobra.FixedCompletions(append([]string{"table", "json"}, more...), cobra.ShellCompDirectiveNoFileComp))
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
