package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mailu-rotator/internal/manual"
)

func TestProgramHasNoManCommand(t *testing.T) {
	for _, cmd := range newRootCommand().Commands() {
		if cmd.Name() == "man" {
			t.Errorf("it has %q", cmd.CommandPath())
		}
	}
}

// A manual page, like --help, is only as good as the command's help text.
func TestEveryCommandSaysWhatAManualNeeds(t *testing.T) {
	for _, cmd := range manual.Commands(newRootCommand()) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") || !cmd.HasExample() {
			t.Errorf("%s: give it a Short without a full stop, and an Example", cmd.CommandPath())
		}
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
		"-rwxr-xr-x bin/mailu-rotator", "-rwxr-xr-x bin/mailu-rotator-as-service",
		"-rw-r--r-- lib/systemd/system/mailu-rotator-.service.d/10-hardening.conf",
		"-rw-r--r-- lib/systemd/system/mailu-rotator-emergency.service",
		"-rw-r--r-- lib/systemd/system/mailu-rotator-sweep.service",
		"-rw-r--r-- lib/systemd/system/mailu-rotator-sweep.timer",
		"-rw-r--r-- lib/systemd/system/mailu-rotator-worker.service",
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
		"-rwxr-xr-x share/doc/mailu-rotator/deploy/hooks/mail",
		"-rwxr-xr-x share/doc/mailu-rotator/deploy/hooks/ntfy",
		"-rwxr-xr-x share/doc/mailu-rotator/deploy/hooks/readers",
		"-rwxr-xr-x share/doc/mailu-rotator/deploy/hooks/slack",
		"-rw-r--r-- share/doc/mailu-rotator/deploy/prometheus/alerts.yaml",
		"-rw-r--r-- share/fish/vendor_completions.d/mailu-rotator.fish",
		"-rw-r--r-- share/man/man8/mailu-rotator.8",
		"-rw-r--r-- share/zsh/site-functions/_mailu-rotator",
	}
	for _, cmd := range manual.Commands(newRootCommand()) {
		want = append(want, "-rw-r--r-- share/man/man8/"+manual.Name(cmd)+".8")
	}
	for _, pattern := range []string{"docs/*.md", "docs/images/*", "deploy/compose/*", "deploy/kubernetes/*", "examples/readers/*"} {
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
	if page := readDoc(t, filepath.Join(destination, "opt/mail/share/man/man8/mailu-rotator-rollback.8")); !strings.Contains(page, ".Dd November 23, 2026\n") {
		t.Errorf("the manual page has not the date of the sources: %s", page)
	}
	if unit := readDoc(t, filepath.Join(destination, "opt/mail/lib/systemd/system/mailu-rotator.service")); !strings.Contains(unit, "\nExecStart=/opt/mail/bin/mailu-rotator ") {
		t.Error("the unit starts another program than the one installed")
	}
}
