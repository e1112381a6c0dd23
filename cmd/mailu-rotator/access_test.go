package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailu-rotator/internal/config"
	"mailu-rotator/rotator"
)

// A `chmod 600 config.yaml` by root is else found at the next restart.
func TestWhatTheServiceCannotReadIsSaidBeforeItsRestart(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "acme")
	must(t, s.writeConfig())
	path := s.configFile()
	service := func() (config.Account, bool) {
		return config.Account{Name: "mailu-rotator", UID: 987654, Groups: []uint32{987655}}, true
	}
	// The test's own directory is closed: what is said of it is not the subject.
	must(t, os.Chmod(filepath.Dir(path), 0o700))

	var stdout, stderr bytes.Buffer
	check := newConfigCheckCommand(&path, service)
	check.SetArgs(nil)
	check.SetOut(&stdout)
	check.SetErr(&stderr)
	must(t, check.Execute())
	checks := (&doctor{path: path, stderr: &stderr, service: service}).configuration()

	if !strings.HasPrefix(stdout.String(), path+" is valid") ||
		!strings.HasPrefix(stderr.String(), "warning: the service cannot start: configuration: the service's user mailu-rotator cannot ") {
		t.Errorf("config check: %s%s", &stdout, &stderr)
	}
	last := checks[len(checks)-1]
	if last.Name != checkFiles || last.State != rotator.CheckFailed || !strings.HasPrefix(last.Fix, "chmod a+x /") {
		t.Errorf("doctor: %+v", checks)
	}
}
