// Command mailu-rotator keeps the Mailu admin password of every tenant younger than its
// policy says. Without a command it is the daemon; with --run-now it is a single run,
// for the day when every password must be rotated immediately.
//
// This package only parses, wires and prints: the work is in rotator, vault,
// mailu and crypto.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	_ "time/tzdata" // for rotation.timezone on hosts without zone files

	"mailu-rotator/internal/text"
	"mailu-rotator/vault"
)

// The exit statuses.
const (
	exitDone        = 0
	exitCannotRun   = 1   // nothing was tried: configuration, Vault, clock
	exitFailures    = 2   // some tenants failed; the report says which
	exitInterrupted = 130 // as a shell reports SIGINT
	exitUnread      = 141 // as a shell reports SIGPIPE, which ends the program: the report's reader has gone
)

// getenv is os.Getenv. main replaces it with a function that keeps Vault's variables
// out of the process environment.
var getenv = os.Getenv

func main() {
	getenv = vault.TakeEnvironment()
	status := run(os.Args[1:])
	if status == exitUnread {
		dieOfBrokenPipe()
	}
	os.Exit(status)
}

func run(args []string) int {
	surviveBrokenPipes()
	stdout, stderr := &standardOutput{file: os.Stdout}, newStandardError(os.Stderr)
	defer stderr.close()
	if err := hardenProcess(); err != nil {
		fmt.Fprintf(stderr, "mailu-rotator: %v\n", err)
		return exitCannotRun
	}
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(context.Background())
	var status *statusError
	switch {
	case stdout.gone:
		return exitUnread
	case err == nil:
		return exitDone
	case errors.As(err, &status): // the report has already said everything
		return status.code
	}
	fmt.Fprintf(stderr, "mailu-rotator: %s\n", text.Escape(err.Error()))
	return exitCannotRun
}

// statusError ends the program with a status and no further output.
type statusError struct{ code int }

func (e *statusError) Error() string { return fmt.Sprintf("exit status %d", e.code) }
