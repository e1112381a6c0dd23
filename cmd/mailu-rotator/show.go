package main

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// showFlags are the arguments and flags of show, as given.
type showFlags struct {
	tenant   string
	reveal   bool
	login    operatorLogin
	pending  bool
	accepted bool
	raw      bool
	output   string
}

func newShowCommand(path *string) *cobra.Command {
	var flags showFlags
	cmd := &cobra.Command{
		Use:   "show TENANT",
		Short: "Show a tenant's record, and with --reveal its password",
		Long: `Show a tenant's record in Vault. TENANT is its id, or the address
of its user, for which every record is read. Of fields that belong to other
programs only the names are shown.

The password is shown only with --reveal, for an emergency in which somebody must
log in as this user. That is logged as "password revealed", with who and where, on
stderr and in the system log, before anything is shown. A half-finished rotation
leaves two passwords: --reveal shows the current one, --pending the other,
--accepted asks Mailu which of the two it accepts.

Exit status: 0 shown; 1 there is nothing to show, or it does not open; 130
interrupted.`,
		Example: `  mailu-rotator show 0f8fad5b-d9cb-469f-a165-70867728950e
  mailu-rotator show admin@one.example --reveal
  mailu-rotator show admin@one.example --reveal --raw | wl-copy`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.tenant = args[0]
			if err := flags.check(cmd); err != nil {
				return err
			}
			return runShow(cmd.Context(), *path, flags, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&flags.reveal, "reveal", false, "open the password and show it (logged)")
	cmd.Flags().BoolVar(&flags.raw, "raw", false, "with --reveal: print the password and nothing else")
	cmd.Flags().BoolVar(&flags.pending, "pending", false, "with --reveal: the pending password of a half-finished rotation")
	cmd.Flags().BoolVar(&flags.accepted, "accepted", false, "with --reveal: the current or the pending one, whichever Mailu takes")
	flags.login.register(cmd.Flags())
	registerOutput(cmd.Flags(), &flags.output)
	return cmd
}

func (f showFlags) check(cmd *cobra.Command) error {
	if name := firstSet(cmd, []string{"raw", "pending", "accepted"}); name != "" && !f.reveal {
		return errors.New("--" + name + " needs --reveal")
	}
	if f.pending && f.accepted {
		return errors.New("--pending and --accepted exclude each other")
	}
	if f.raw && cmd.Flags().Changed("output") {
		return errors.New("--raw and --output exclude each other")
	}
	return checkOutput(f.output)
}

func runShow(ctx context.Context, path string, flags showFlags, stdout, stderr io.Writer) error {
	var shown exhibit
	defer func() { shown.password.Wipe() }()
	interrupted, err := attend(ctx, path, stderr, func(ctx context.Context, f *fleet) error {
		if err := flags.login.apply(f); err != nil {
			return err
		}
		return f.with(ctx, func(s *rotator.Sweep) error {
			tenant, err := findTenant(ctx, s, flags.tenant)
			if err != nil {
				return err
			}
			if shown.record, err = s.Record(ctx, tenant); err != nil || !flags.reveal {
				return err
			}
			return f.reveal(ctx, s, flags, &shown)
		})
	})
	if err != nil {
		return err
	}
	if interrupted {
		return &statusError{code: exitInterrupted}
	}
	return printExhibit(stdout, shown, flags)
}

func findTenant(ctx context.Context, s *rotator.Sweep, name string) (rotator.TenantID, error) {
	if strings.Contains(name, "@") {
		return s.Find(ctx, name)
	}
	return rotator.ParseTenantID(name)
}

// exhibit is the content of show.
type exhibit struct {
	record   rotator.Record
	account  string        // what Mailu, if asked, says about the user that an operator should know
	revealed string        // "current" or "pending"; empty: no password is shown
	password crypto.Secret // also empty then
}

// reveal opens a password, and records that before anybody sees it.
func (f *fleet) reveal(ctx context.Context, s *rotator.Sweep, flags showFlags, shown *exhibit) (err error) {
	cred, pending := shown.record.Credential, flags.pending
	if flags.accepted {
		if pending, shown.account, err = s.Accepted(ctx, cred); err != nil {
			return err
		}
	}
	if shown.password, err = s.Reveal(ctx, cred, pending); err != nil {
		return err
	}
	shown.revealed = "current"
	if pending {
		shown.revealed = "pending"
	}
	return f.log.audit(openSystemLog, passwordRevealed,
		zap.String("tenant", string(cred.Tenant)), zap.String("user", cred.Username), zap.String("origin", string(cred.Origin)),
		zap.Int("version", cred.Version), zap.String("password", shown.revealed))
}
