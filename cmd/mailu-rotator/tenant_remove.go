package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"mailu-rotator/internal/config"
	"mailu-rotator/internal/text"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// tenantRemoved is the event of a removal. It is recorded before anything changes.
const tenantRemoved = "removing tenant"

type removeFlags struct {
	login  operatorLogin
	yes    bool
	output string
}

func newTenantRemoveCommand(path *string) *cobra.Command {
	var flags removeFlags
	cmd := &cobra.Command{
		Use:   "remove TENANT",
		Short: "Remove a tenant: its record in Vault, with all versions",
		Long: `Remove a tenant: delete its record in Vault, with all versions and for good. TENANT
is its id, or the address of its user. The user in Mailu is left as it is, with its
password, which nobody can look up any more.

It asks first, on a terminal; elsewhere it needs --yes. It refuses while the record
has a pending password: finish that rotation first.

It needs a Vault token that may delete records: see policy --with-remove.

Exit status: 0 removed; 1 not removed; 130 interrupted, or the answer was no.`,
		Example: `  mailu-rotator tenant remove --vault-token-from-env admin@one.example
  mailu-rotator tenant remove --vault-token-from-env --yes 0f8fad5b-d9cb-469f-a165-70867728950e`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRemove(cmd, *path, args[0], flags)
		},
	}
	flags.login.register(cmd)
	cmd.Flags().BoolVarP(&flags.yes, "yes", "y", false, "do not ask")
	registerOutput(cmd, &flags.output)
	return cmd
}

func runRemove(cmd *cobra.Command, path, name string, flags removeFlags) error {
	if err := checkOutput(flags.output); err != nil {
		return err
	}
	if !flags.yes && !(isTerminal(cmd.InOrStdin()) && isTerminal(cmd.ErrOrStderr())) {
		return errors.New("tenant remove asks before it deletes, and there is no terminal: say --yes")
	}
	if _, err := rotator.ParseTenantID(name); err != nil && !strings.Contains(name, "@") {
		return fmt.Errorf("tenant remove takes a whole id or an address, not the beginning of an id: %w", err)
	}
	var removed removalJSON
	_, err := runOnce(cmd, path, func(ctx context.Context, a *app) (err error) {
		if err := flags.login.apply(a); err != nil {
			return err
		}
		removed.Removal, err = inSession(ctx, a, func(s *session) (sweep.Removal, error) { return a.remove(ctx, cmd, s, name, flags.yes) })
		removed.Record = recordPath(a.cfg.Vault, removed.Tenant)
		return err
	})
	if err != nil {
		return err
	}
	return printRemoval(cmd.OutOrStdout(), removed, flags.output)
}

// removalJSON is the document of --output json; docs/report.md describes it.
type removalJSON struct {
	sweep.Removal
	Record string `json:"record"`
}

func printRemoval(out io.Writer, r removalJSON, format string) error {
	if format == "json" {
		return encodeJSON(out, r)
	}
	if _, err := fmt.Fprintf(out, "tenant %s is removed, with all versions of its record\n%s\n", r.Tenant, leftInMailu(r.Removal)); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}

func recordPath(v config.Vault, tenant rotator.TenantID) string {
	return fmt.Sprintf("%s/%s/%s/%s", v.Mount, v.Prefix, tenant, v.Leaf)
}

// remove returns what it removed.
func (a *app) remove(ctx context.Context, cmd *cobra.Command, s *session, name string, yes bool) (sweep.Removal, error) {
	removal, err := s.Removable(ctx, name)
	if err == nil {
		err = s.vault.MayRemove(ctx, removal.Tenant)
	}
	if errors.Is(err, rotator.ErrForbidden) {
		err = fmt.Errorf("%w: see mailu-rotator policy --with-remove, and --vault-token-from-env", err)
	}
	if err != nil {
		return removal, err
	}
	if !yes && !ask(ctx, cmd.InOrStdin(), cmd.ErrOrStderr(), removalQuestion(a, removal)) {
		return removal, &statusError{code: exitInterrupted}
	}
	err = a.log.audit(openSystemLog, tenantRemoved,
		zap.String("tenant", string(removal.Tenant)), zap.String("user", removal.User), zap.String("origin", string(removal.Origin)))
	if err != nil {
		return removal, err
	}
	return removal, s.Remove(ctx, s.vault, removal)
}

func removalQuestion(a *app, r sweep.Removal) string {
	question := leftInMailu(r) + "\n"
	if r.Remark != "" {
		question += text.Quote(r.Remark) + "\n"
	}
	return question + fmt.Sprintf("delete %s with all versions, for good?", recordPath(a.cfg.Vault, r.Tenant))
}

func leftInMailu(r sweep.Removal) string {
	if r.User == "" {
		return "its user in Mailu, which the record does not name, is left as it is"
	}
	return fmt.Sprintf("its user in Mailu, %s on %s, is left as it is: remove it there, or change its password, if nobody needs it", text.Quote(r.User), text.Quote(string(r.Origin)))
}
