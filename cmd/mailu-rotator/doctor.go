package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"mailu-rotator/rotator"
)

// doctorPatience is how long one call waits for a Vault that does not answer: an
// operator who runs the doctor wants to know that soon.
const doctorPatience = 5 * time.Second

func newDoctorCommand(path *string) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check everything that a run needs, and show how to fix it",
		Long: `Check everything that a run needs, before the first run and after a problem: the
configuration and its files; Vault, the login and its permissions, the master key;
each Mailu server, with one request; every tenant's record. Each failed check is
followed by the command that fixes it. Nothing is changed.

A wrong API token is sent once and counts at Mailu, where five block this
network for an hour: fix it before the next try.

Exit status: 0 no errors, perhaps warnings; 2 errors with tenants or Mailu
servers; 1 a run could not take place; 130 interrupted.`,
		Example: `  mailu-rotator doctor
  mailu-rotator doctor --output json | jq -r '.checks[] | select(.state == "failed") | .fix'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDoctor(cmd.Context(), *path, output, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	registerOutput(cmd.Flags(), &output)
	return cmd
}

func runDoctor(ctx context.Context, path, output string, stdout, stderr io.Writer) error {
	if err := checkOutput(output); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := &doctor{path: path, stderr: stderr}
	result := d.examine(ctx)
	if ctx.Err() != nil {
		return &statusError{code: exitInterrupted}
	}
	if err := printDiagnosis(stdout, result, output); err != nil {
		return err
	}
	if code := result.status(); code != exitDone {
		return &statusError{code: code}
	}
	return nil
}

// diagnosis is the doctor's result.
type diagnosis struct {
	config            string
	started, finished time.Time
	sections          []section
	records           *rotator.Examination // nil if they could not be read
	fixes             []string             // commands that fix the records' flaws
}

// section holds the checks of one part of the installation.
type section struct {
	title    string
	checks   []rotator.Check
	required bool // no run can start without it
}

func (d diagnosis) count(state rotator.CheckState) int {
	n := 0
	for _, s := range d.sections {
		n += s.count(state)
	}
	return n
}

func (s section) count(state rotator.CheckState) int {
	n := 0
	for _, c := range s.checks {
		if c.State == state {
			n++
		}
	}
	return n
}

func (d diagnosis) status() int {
	code := exitDone
	for _, s := range d.sections {
		switch {
		case s.count(rotator.CheckFailed) == 0:
		case s.required:
			return exitCannotRun
		default:
			code = exitFailures
		}
	}
	return code
}

// lines splits an error that joins several, such as the configuration's.
func lines(err error) []error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	return []error{err}
}
