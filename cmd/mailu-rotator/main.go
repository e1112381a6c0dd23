// Command mailu-rotator keeps the Mailu admin password of every tenant younger than its
// policy says. Without a command it is the daemon; with --run-now it is a single run,
// for the day when every password must be rotated immediately.
//
// This package only parses, wires and prints: the work is in rotator, vault,
// mailu and crypto.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	_ "time/tzdata" // for rotation.timezone on hosts without zone files

	"github.com/spf13/cobra"

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

// getenv is replaced by main, to keep Vault's variables out of the process environment.
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
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + spareThreads)
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

// spareThreads are threads beyond the cores that compute. While hashes and keys keep every
// thread busy Go looks at the network only every 10 ms (runtime.sysmon), and the Mailu
// servers would wait for that at each request.
const spareThreads = 1

// computingCores is the number of cores that hashes and keys may use, at least 1.
func computingCores() int { return max(1, runtime.GOMAXPROCS(0)-spareThreads) }

// statusError ends the program with a status and no further output.
type statusError struct{ code int }

func (e *statusError) Error() string { return fmt.Sprintf("exit status %d", e.code) }

// The linker sets these: see the Makefile. Otherwise the latter two come from Go's
// build information, if there is any.
var (
	version = "development"
	commit  string
	epoch   string // SOURCE_DATE_EPOCH: the commit time of the sources, in seconds
)

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version, its commit and the date of that",
		Example: "  mailu-rotator version",
		Args:    cobra.NoArgs,
		Run:     func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), versionLine()) },
	}
}

func versionLine() string {
	commit, date := provenance(commit, epoch, debug.ReadBuildInfo)
	return fmt.Sprintf("mailu-rotator %s (commit %s of %s, %s %s/%s)", version, commit, date, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// provenance returns the commit of the program and its date, RFC 3339, or "unknown".
func provenance(commit, epoch string, read func() (*debug.BuildInfo, bool)) (_, date string) {
	if seconds, err := strconv.ParseInt(epoch, 10, 64); err == nil {
		date = time.Unix(seconds, 0).UTC().Format(time.RFC3339)
	}
	settings := map[string]string{}
	if info, ok := read(); ok {
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
	}
	return cmp.Or(commit, settings["vcs.revision"], "unknown"), cmp.Or(date, settings["vcs.time"], "unknown")
}
