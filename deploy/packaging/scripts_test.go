package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The arguments are those of the Debian Policy Manual, 6.5, and of rpm-scriptlets(7).
func TestPackageScripts(t *testing.T) {
	const (
		reload  = "daemon-reload"
		restart = "try-restart mailu-rotator.service mailu-rotator-worker.service"
		disable = "disable --now mailu-rotator-sweep.timer mailu-rotator.service mailu-rotator-worker.service"
		stop    = "stop mailu-rotator-sweep.service mailu-rotator-emergency.service"
	)
	for _, c := range []struct {
		what, script string
		args         []string
		want         []string
	}{
		{"deb installed", "postinstall.sh", []string{"configure", ""}, []string{reload, restart}},
		{"deb upgraded", "postinstall.sh", []string{"configure", "1.2.2-1"}, []string{reload, restart}},
		{"deb not removed after all", "postinstall.sh", []string{"abort-remove"}, nil},
		{"rpm installed", "postinstall.sh", []string{"1"}, []string{reload, restart}},
		{"rpm upgraded", "postinstall.sh", []string{"2"}, []string{reload, restart}},
		{"deb before an upgrade", "preremove.sh", []string{"upgrade", "1.2.3-1"}, nil},
		{"deb before the removal", "preremove.sh", []string{"remove"}, []string{disable, stop}},
		{"rpm after an upgrade", "preremove.sh", []string{"1"}, nil},
		{"rpm before the removal", "preremove.sh", []string{"0"}, []string{disable, stop}},
		{"deb removed", "postremove.sh", []string{"remove"}, []string{reload}},
		{"deb purged", "postremove.sh", []string{"purge"}, []string{reload}},
		{"rpm removed", "postremove.sh", []string{"0"}, []string{reload}},
	} {
		if got := systemctlCalls(t, c.script, "exit 0", true, c.args); !slices.Equal(got, c.want) {
			t.Errorf("%s: systemctl %q, want %q", c.what, got, c.want)
		}
		if got := systemctlCalls(t, c.script, "exit 0", false, c.args); got != nil {
			t.Errorf("%s, where systemd does not run: systemctl %q", c.what, got)
		}
	}
}

// A package whose script fails is half installed, and can neither be used nor removed.
func TestPackageScriptsSucceedWhereSystemdRefuses(t *testing.T) {
	for script, arg := range map[string]string{"postinstall.sh": "configure", "preremove.sh": "remove", "postremove.sh": "remove"} {
		if calls := systemctlCalls(t, script, "exit 1", true, []string{arg}); len(calls) == 0 {
			t.Errorf("%s asked systemd for nothing", script)
		}
	}
}

// systemctlCalls runs a script and returns its calls of systemctl, which a stand-in
// records. The directory that shows whether systemd runs is the test's own.
func systemctlCalls(t *testing.T, script, answer string, running bool, args []string) (calls []string) {
	t.Helper()
	const says = "/run/systemd/system"
	dir := t.TempDir()
	text := string(readFile(t, script))
	if strings.Count(text, says) != 1 {
		t.Fatalf("%s should look for %s once", script, says)
	}
	if running {
		text = strings.ReplaceAll(text, says, dir)
	} else {
		text = strings.ReplaceAll(text, says, filepath.Join(dir, "absent"))
	}
	notes := filepath.Join(dir, "notes")
	for file, content := range map[string]string{"script": text, "systemctl": "#!/bin/sh\necho \"$*\" >>" + notes + "\n" + answer + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}

	cmd := exec.CommandContext(t.Context(), "/bin/sh", append([]string{filepath.Join(dir, "script")}, args...)...)
	cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s %v: %v\n%s", script, args, err, out)
	}

	noted, err := os.ReadFile(notes)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(noted)), "\n")
}
