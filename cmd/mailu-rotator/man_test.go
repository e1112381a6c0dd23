package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// mustFind returns the command with the name from the program.
func mustFind(t *testing.T, words ...string) *cobra.Command {
	t.Helper()
	cmd, _, err := newRootCommand().Find(words)
	must(t, err)
	return cmd
}

func TestManualOfACommand(t *testing.T) {
	page := manual(mustFind(t, "rollback"), time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))

	for _, want := range []string{
		".Dd November 23, 2026\n.Dt MAILU-ROTATOR-ROLLBACK 8\n.Os\n.Sh NAME\n.Nm mailu-rotator-rollback\n.Nd restore an earlier password of a tenant\n",
		".Nm mailu-rotator\n.Cm rollback\n.Op Fl c , Fl -config Ar file\n",
		".Op Fl -to Ar version\n.Ar tenant\n",
		"as a new one.\nA half-finished\nrotation is finished first.\n.Pp\n",
		".It Fl -output Ar format\n",
		"The default is\n.Cm table .\n",
		"\n  mailu\\-rotator rollback 0f8fad5b\\-d9cb\\-469f\\-a165\\-70867728950e \\-\\-to 3\n.Ed\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("it has not\n%s\nbut is\n%s", want, page)
		}
	}
}

// roff must not interpret plain text.
func TestManualKeepsPlainTextPlain(t *testing.T) {
	for plain, want := range map[string]string{
		`a\b`:              `a\eb`,
		".Sh is a macro":   `\&.Sh is a macro`,
		"x\n'quoted'":      "x\n\\&'quoted'",
		"with --repair on": `with \-\-repair on`,
	} {
		if got := roffText(plain); got != want {
			t.Errorf("%q: got %q, want %q", plain, got, want)
		}
	}
}

// A manual page, like --help, is only as good as the command's help text.
func TestEveryCommandSaysWhatAManualNeeds(t *testing.T) {
	for _, cmd := range leaves(newRootCommand()) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") || !cmd.HasExample() {
			t.Errorf("%s: give it a Short without a full stop, and an Example", cmd.CommandPath())
		}
	}
}

func TestManualsAreOfTheDateOfTheSources(t *testing.T) {
	if date, err := sourceDate("1795392000"); err != nil || date.Format(time.DateOnly) != "2026-11-23" {
		t.Errorf("got %s, %v", date, err)
	}
	if _, err := sourceDate(""); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") {
		t.Errorf("got %v", err)
	}
}

func TestInstallPutsEverythingInItsPlace(t *testing.T) {
	t.Parallel()
	out, destination := t.TempDir(), t.TempDir()
	install := exec.Command("make", "-C", "../..", "all", "install", "OUT="+out, "DESTDIR="+destination, "PREFIX=/opt/mail")
	install.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1795392000")
	if output, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}

	var got []string
	must(t, filepath.WalkDir(destination, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		got = append(got, info.Mode().String()+" "+strings.TrimPrefix(path, destination+"/opt/mail/"))
		return err
	}))

	want := []string{
		"-rwxr-xr-x bin/mailu-rotator",
		"-rw-r--r-- lib/systemd/system/mailu-rotator-.service.d/10-hardening.conf",
		"-rw-r--r-- lib/systemd/system/mailu-rotator-emergency.service",
		"-rw-r--r-- lib/systemd/system/mailu-rotator-sweep.service",
		"-rw-r--r-- lib/systemd/system/mailu-rotator-sweep.timer",
		"-rw-r--r-- lib/systemd/system/mailu-rotator.service",
		"-rw-r--r-- lib/systemd/system/mailu-rotator.service.d/10-hardening.conf",
		"-rw-r--r-- lib/sysusers.d/mailu-rotator.conf",
		"-rw-r--r-- lib/tmpfiles.d/mailu-rotator.conf",
		"-rw-r--r-- share/bash-completion/completions/mailu-rotator",
		"-rw-r--r-- share/doc/mailu-rotator/CHANGELOG.md",
		"-rw-r--r-- share/doc/mailu-rotator/LICENSE",
		"-rw-r--r-- share/doc/mailu-rotator/README.md",
		"-rw-r--r-- share/doc/mailu-rotator/SECURITY.md",
		"-rw-r--r-- share/doc/mailu-rotator/THIRD_PARTY_LICENSES",
		"-rw-r--r-- share/doc/mailu-rotator/config.yaml",
		"-rw-r--r-- share/doc/mailu-rotator/deploy/grafana/dashboard.json",
		"-rw-r--r-- share/doc/mailu-rotator/deploy/prometheus/alerts.yaml",
		"-rw-r--r-- share/fish/vendor_completions.d/mailu-rotator.fish",
		"-rw-r--r-- share/man/man8/mailu-rotator.8",
		"-rw-r--r-- share/zsh/site-functions/_mailu-rotator",
	}
	for _, cmd := range leaves(newRootCommand()) {
		want = append(want, "-rw-r--r-- share/man/man8/"+pageName(cmd)+".8")
	}
	for _, pattern := range []string{"docs/*.md", "docs/images/*"} {
		documents, err := filepath.Glob("../../" + pattern)
		must(t, err)
		for _, document := range documents {
			want = append(want, "-rw-r--r-- share/doc/mailu-rotator/"+strings.TrimPrefix(document, "../../"))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if unit := readDoc(t, filepath.Join(destination, "opt/mail/lib/systemd/system/mailu-rotator.service")); !strings.Contains(unit, "\nExecStart=/opt/mail/bin/mailu-rotator ") {
		t.Error("the unit starts another program than the one installed")
	}
}
