package config

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestHooksAreProgramsWithArguments(t *testing.T) {
	got := loadGood(t, "hooks.yaml").Hooks

	want := Hooks{
		AfterRotation: Command{"/usr/local/lib/mailu-rotator/notify", "--what", "a rotation; rm -rf /"},
		OnFailure:     Command{"/usr/local/bin/page"},
		Timeout:       10 * time.Minute,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
}

func TestCheckHooksLooksAtPrograms(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		path string
		want string // in the error; empty: no error
	}{
		"in order":          {writeFile(t, dir, "good", "#!/bin/sh", 0o755), ""},
		"unreadable":        {writeFile(t, dir, "unreadable", "#!/bin/sh", 0o711), ""},
		"absent":            {filepath.Join(dir, "absent"), "no such file"},
		"a directory":       {dir, "is not a regular file"},
		"not executable":    {writeFile(t, dir, "plain", "#!/bin/sh", 0o644), "cannot be executed (mode 0644): chmod 755 "},
		"writable by all":   {writeFile(t, dir, "all", "#!/bin/sh", 0o757), "is writable by others than its owner (mode 0757): chmod 755 "},
		"writable by group": {writeFile(t, dir, "group", "#!/bin/sh", 0o775), "is writable by others than its owner (mode 0775): chmod 755 "},
	} {
		config := Config{Hooks: Hooks{OnFailure: Command{c.path, "argument"}}}

		err := errors.Join(config.CheckHooks()...)
		if files := config.CheckFiles(); files != nil {
			t.Errorf("%s stops a run: %v", name, files)
		}

		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "hooks.on_failure: ")):
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}
