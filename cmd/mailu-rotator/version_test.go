package main

import (
	"runtime/debug"
	"testing"
)

func TestVersionSaysWhereItIsFrom(t *testing.T) {
	seen := func() (*debug.BuildInfo, bool) {
		return &debug.BuildInfo{Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "b17e"}, {Key: "vcs.time", Value: "2026-01-02T15:04:05Z"},
		}}, true
	}
	unseen := func() (*debug.BuildInfo, bool) { return nil, false }

	for name, c := range map[string]struct {
		commit, epoch string
		read          func() (*debug.BuildInfo, bool)
		want          string
	}{
		"the linker's, whatever Go has seen": {"c0de", "1795392000", seen, "c0de of 2026-11-23T00:00:00Z"},
		"Go's, without a linker's":           {"", "", seen, "b17e of 2026-01-02T15:04:05Z"},
		"an exported tree, with its date":    {"", "1795392000", unseen, "unknown of 2026-11-23T00:00:00Z"},
		"nobody's":                           {"", "", unseen, "unknown of unknown"},
	} {
		commit, date := provenance(c.commit, c.epoch, c.read)

		if got := commit + " of " + date; got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}
