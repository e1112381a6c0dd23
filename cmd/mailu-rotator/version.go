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
		Run: func(cmd *cobra.Command, _ []string) {
			commit, date := provenance(commit, epoch, debug.ReadBuildInfo)
			fmt.Fprintf(cmd.OutOrStdout(), "mailu-rotator %s (commit %s of %s, %s %s/%s)\n",
				version, commit, date, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}

// provenance returns the commit of the program and its date, RFC 3339; unknown values
// are "unknown".
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
