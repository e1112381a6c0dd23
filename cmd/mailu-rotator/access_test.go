package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailu-rotator/internal/config"
	"mailu-rotator/rotator"
)

// A `chmod 600 config.yaml` by root is else found at the next restart, and that of a hook
// by the alert that does not come.
func TestWhatTheServiceCannotReadIsSaidBeforeItsRestart(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "acme")
	dir, err := os.MkdirTemp("/tmp", "hook") // everybody can reach it
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	must(t, os.WriteFile(dir+"/mail", []byte("#!/bin/sh\n"), 0o700))
	must(t, s.writeConfig(fmt.Sprintf("hooks.on_failure=[%q]", dir+"/mail")))
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
	if !strings.Contains(stderr.String(), "\nwarning: the service does not run this hook: hooks.on_failure: the service's user mailu-rotator cannot execute ") {
		t.Errorf("config check: %s", &stderr)
	}
	file, hook := checks[len(checks)-2], checks[len(checks)-1]
	if file.Name != checkFiles || file.State != rotator.CheckFailed || !strings.HasPrefix(file.Fix, "chmod a+x /") {
		t.Errorf("doctor: %+v", checks)
	}
	if hook.Name != checkFiles || hook.State != rotator.CheckWarned || hook.Fix != "chmod a+rx "+dir+"/mail" {
		t.Errorf("doctor: %+v", checks)
	}
}
