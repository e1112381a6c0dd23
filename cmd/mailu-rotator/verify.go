package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"mailu-rotator/rotator"
)

// verifyFlags are the flags of verify, as given.
type verifyFlags struct {
	narrowing
	repair bool
	output string
}

func newVerifyCommand(path *string) *cobra.Command {
	var flags verifyFlags
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check that Mailu accepts the passwords in Vault",
		Long: `Ask Mailu, for every tenant, whether it accepts the password in Vault. Nothing
is changed without --repair. With it, a half-finished rotation is finished; a
password that Mailu holds and only Vault's history has is made current again; if
neither explains the difference, or Mailu's hash is of another kind and cannot be
checked, Vault's password is pushed. A password that a login form could not send,
such as one that ends in a newline, is never pushed.

Exit status: 0 no problems, or all repaired; 2 problems remain; 1 could not run;
130 interrupted.`,
		Example: `  mailu-rotator verify
  mailu-rotator verify --repair --tenant 0f8fad5b-d9cb-469f-a165-70867728950e
  mailu-rotator verify --output json | jq -r '.tenants[] | select(.problem) | .tenant'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runVerify(cmd.Context(), *path, flags, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags.register(cmd.Flags())
	cmd.Flags().BoolVar(&flags.repair, "repair", false, "bring Vault and Mailu back together where they differ")
	registerOutput(cmd.Flags(), &flags.output)
	return cmd
}

func runVerify(ctx context.Context, path string, flags verifyFlags, stdout, stderr io.Writer) error {
	var found rotator.Verification
	interrupted, err := attend(ctx, path, stderr, func(ctx context.Context, f *fleet) error {
		var sel rotator.Selection
		if err := checkOutput(flags.output); err != nil {
			return err
		}
		if err := flags.narrow(&sel, f.cfg); err != nil {
			return err
		}
		err := f.with(ctx, func(s *rotator.Sweep) (err error) {
			found, err = s.Verify(ctx, sel, flags.repair)
			return err
		})
		f.refused(ctx, rotator.VerificationRefused, err)
		return err
	})
	if err != nil {
		return err
	}
	if err := printVerification(stdout, found, flags.repair, flags.output); err != nil {
		return err
	}
	return statusOf(found.Problems(), interrupted)
}
