package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// These are set by the linker: see the Makefile. A program built without it says
// of the latter two what Go has seen of the checkout, if anything.
var (
	version = "development"
	commit  string
	epoch   string // SOURCE_DATE_EPOCH: when the sources were committed, in seconds
)

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version, its commit and the date of that",
		Example: "  mailu-rotator version",
		Args:    cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			commit, date := provenance(commit, epoch, debug.ReadBuildInfo)
			fmt.Fprintf(cmd.OutOrStdout(), "mailu-rotator %s (commit %s of %s, %s %s/%s)\n",
				version, commit, date, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}

// provenance is the commit that the program was made from and its date, RFC 3339;
// what is not known is "unknown".
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
