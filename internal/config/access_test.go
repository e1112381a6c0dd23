package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// stranger owns nothing in these tests.
func stranger() Account { return Account{Name: "service", UID: 987654, Groups: []uint32{987655}} }

func TestTheFirstClassThatFitsDecides(t *testing.T) {
	who := Account{Name: "service", UID: 7, Groups: []uint32{70, 71}}
	for _, test := range []struct {
		mode         fs.FileMode
		owner, group uint32
		may          bool
	}{
		{0o600, 0, 0, false},
		{0o604, 0, 0, true},
		{0o640, 0, 0, false},
		{0o640, 0, 71, true},
		{0o604, 0, 71, false}, // the group has less than the others
		{0o600, 7, 0, true},
		{0o077, 7, 71, false}, // and so has the owner
		{0o044, 7, 0, false},
	} {
		if got := who.may(test.mode, test.owner, test.group, 0o4); got != test.may {
			t.Errorf("mode %04o of %d:%d: got %t", test.mode, test.owner, test.group, got)
		}
	}
	if who.may(0o644, 0, 0, 0o1) {
		t.Error("a directory that may be read may not be entered")
	}
	if who.may(0o711, 0, 0, 0o5) {
		t.Error("one of two rights is not both")
	}
	if root := (Account{}); !root.may(0, 7, 7, 0o4) {
		t.Error("root may read everything")
	}
}

// accessible is a configuration with its files in a directory that the stranger can reach.
func accessible(t *testing.T) (dir, path string, config *Config) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "access")
	mustDo(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	mustDo(t, os.Chmod(dir, 0o755))
	mustDo(t, os.Mkdir(filepath.Join(dir, "credentials"), 0o700))
	path = writeFile(t, dir, "config.yaml", `
vault:
  address: https://vault.example.com:8200
  ca_file: ca.pem
  auth: {method: token_file, token_file: $CREDENTIALS_DIRECTORY/vault.token}
mailu:
  servers:
    - {origin: https://mail.example.com, token_file: mail.token}
    - {origin: https://mail.example.org, token_file: credentials/mail.token}
`, 0o644)
	writeFile(t, dir, "ca.pem", "", 0o644)
	writeFile(t, dir, "mail.token", "token", 0o644) // its secrecy is of no concern here
	writeFile(t, filepath.Join(dir, "credentials"), "vault.token", "token", 0o600)
	writeFile(t, filepath.Join(dir, "credentials"), "mail.token", "token", 0o600)
	config, err = Load(path, environment{}.get)
	mustDo(t, err)
	return dir, path, config
}

// obstacles returns the commands of the errors, with DIR for the directory.
func obstacles(t *testing.T, dir string, errs []error) (fixes []string) {
	t.Helper()
	for _, err := range errs {
		if !strings.Contains(err.Error(), "the service's user service cannot ") {
			t.Errorf("got %v", err)
		}
		fixes = append(fixes, strings.ReplaceAll(fixOf(t, err), dir, "DIR"))
	}
	return fixes
}

// fixOf returns the command of an error, with which it ends.
func fixOf(t *testing.T, err error) string {
	t.Helper()
	known, ok := errors.AsType[*FileError](err)
	if !ok || !strings.HasSuffix(err.Error(), known.Fix) {
		t.Fatalf("got %v", err)
	}
	return known.Fix
}

func TestCheckAccessTellsWhatTheServiceCannotRead(t *testing.T) {
	group := uint32(os.Getegid()) // of the files
	for name, test := range map[string]struct {
		chmod  map[string]fs.FileMode
		groups []uint32
		want   []string
	}{
		"all in order":            {},
		"configuration":           {chmod: map[string]fs.FileMode{"config.yaml": 0o600}, want: []string{"chmod a+r DIR/config.yaml"}},
		"configuration of groups": {chmod: map[string]fs.FileMode{"config.yaml": 0o640}, groups: []uint32{group}},
		"group without a right":   {chmod: map[string]fs.FileMode{"config.yaml": 0o604}, groups: []uint32{group}, want: []string{"chmod g+r DIR/config.yaml"}},
		"secret":                  {chmod: map[string]fs.FileMode{"mail.token": 0o600}, want: []string{"chgrp service DIR/mail.token && chmod g+r DIR/mail.token"}},
		"certificates":            {chmod: map[string]fs.FileMode{"ca.pem": 0o640}, want: []string{"chmod a+r DIR/ca.pem"}},
		"directory, told once":    {chmod: map[string]fs.FileMode{".": 0o700}, want: []string{"chmod a+x DIR"}},
		"several":                 {chmod: map[string]fs.FileMode{"config.yaml": 0, "ca.pem": 0}, want: []string{"chmod a+r DIR/config.yaml", "chmod a+r DIR/ca.pem"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, path, config := accessible(t)
			for file, mode := range test.chmod {
				mustDo(t, os.Chmod(filepath.Join(dir, file), mode))
			}
			who := stranger()
			who.Groups = append(who.Groups, test.groups...)

			files, _ := config.CheckAccess(path, environment{}.get, who)
			fixes := obstacles(t, dir, files)

			if !slices.Equal(fixes, test.want) {
				t.Errorf("got %q, want %q", fixes, test.want)
			}
		})
	}
}

func TestCheckAccessAsksForNoMoreThanTheOwnersRight(t *testing.T) {
	dir, path, config := accessible(t)
	mustDo(t, os.Chmod(path, 0o044))
	owner := os.Geteuid()
	if owner == 0 {
		owner = 4711
		mustDo(t, os.Chown(path, owner, -1))
	}

	files, _ := config.CheckAccess(path, environment{}.get, Account{Name: "service", UID: uint32(owner)})
	fixes := obstacles(t, dir, files)

	if want := []string{"chmod u+r DIR/config.yaml"}; !slices.Equal(fixes, want) {
		t.Errorf("got %q, want %q", fixes, want)
	}
}

func TestCheckAccessFollowsLinks(t *testing.T) {
	dir, path, config := accessible(t)
	mustDo(t, os.Mkdir(filepath.Join(dir, "closed"), 0o700))
	mustDo(t, os.Rename(filepath.Join(dir, "mail.token"), filepath.Join(dir, "closed", "mail.token")))
	mustDo(t, os.Symlink("closed/../closed/mail.token", filepath.Join(dir, "mail.token")))
	mustDo(t, os.Symlink(filepath.Join(dir, "loop"), filepath.Join(dir, "loop")))

	files, _ := config.CheckAccess(path, environment{}.get, stranger())
	fixes := obstacles(t, dir, files)

	if want := []string{"chmod a+x DIR/closed"}; !slices.Equal(fixes, want) {
		t.Errorf("got %q, want %q", fixes, want)
	}
	config.Vault.CAFile = filepath.Join(dir, "loop")
	if errs, _ := config.CheckAccess(path, environment{}.get, stranger()); len(errs) != 1 {
		t.Errorf("a loop is no matter of permissions: %v", errs)
	}
}

func TestCheckAccessLeavesAloneWhatTheServiceDoesNotRead(t *testing.T) {
	dir, path, _ := accessible(t)
	other := filepath.Join(dir, "elsewhere")
	mustDo(t, os.Mkdir(other, 0o700))
	env := environment{"CREDENTIALS_DIRECTORY": other, "VAULT_CACERT": writeFile(t, t.TempDir(), "ca.pem", "", 0o600)}
	content := strings.Replace(string(readTestFile(t, path)), "  ca_file: ca.pem\n", "", 1)
	mustDo(t, os.WriteFile(path, []byte(content), 0o644))
	config, err := Load(path, env.get)
	mustDo(t, err)

	if errs, hooks := config.CheckAccess(path, env.get, stranger()); len(errs)+len(hooks) > 0 {
		t.Errorf("got %v, %v", errs, hooks)
	}
}

func TestCheckAccessTellsWhichHooksTheServiceCannotRun(t *testing.T) {
	const script, binary = "#!/bin/sh\n", "\x7fELF"
	group := uint32(os.Getegid()) // of the files
	for name, test := range map[string]struct {
		content string
		chmod   map[string]fs.FileMode
		groups  []uint32
		want    string // "": nothing
	}{
		"all in order":             {content: script},
		"a script":                 {content: script, chmod: map[string]fs.FileMode{"hooks/mail": 0o700}, want: "execute DIR/hooks/mail (mode 0700), chmod a+rx DIR/hooks/mail"},
		"a script, not readable":   {content: script, chmod: map[string]fs.FileMode{"hooks/mail": 0o711}, want: "execute DIR/hooks/mail (mode 0711), chmod a+rx DIR/hooks/mail"},
		"a program, not readable":  {content: binary, chmod: map[string]fs.FileMode{"hooks/mail": 0o711}},
		"a program":                {content: binary, chmod: map[string]fs.FileMode{"hooks/mail": 0o744}, want: "execute DIR/hooks/mail (mode 0744), chmod a+x DIR/hooks/mail"},
		"an empty one":             {chmod: map[string]fs.FileMode{"hooks/mail": 0o744}, want: "execute DIR/hooks/mail (mode 0744), chmod a+x DIR/hooks/mail"},
		"for its group":            {content: script, chmod: map[string]fs.FileMode{"hooks/mail": 0o750}, groups: []uint32{group}},
		"not for its group":        {content: script, chmod: map[string]fs.FileMode{"hooks/mail": 0o745}, groups: []uint32{group}, want: "execute DIR/hooks/mail (mode 0745), chmod g+rx DIR/hooks/mail"},
		"directory, told once":     {content: script, chmod: map[string]fs.FileMode{"hooks": 0o744, "hooks/mail": 0o700}, want: "enter DIR/hooks (mode 0744), chmod a+x DIR/hooks"},
		"for nobody, told already": {content: script, chmod: map[string]fs.FileMode{"hooks/mail": 0o644}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, path, config := accessible(t)
			mustDo(t, os.Mkdir(filepath.Join(dir, "hooks"), 0o755))
			hook := writeFile(t, filepath.Join(dir, "hooks"), "mail", test.content, 0o755)
			config.Hooks.OnFailure, config.Hooks.AfterRun = Command{hook}, Command{hook, "argument"}
			for file, mode := range test.chmod {
				mustDo(t, os.Chmod(filepath.Join(dir, file), mode))
			}
			who := stranger()
			who.Groups = append(who.Groups, test.groups...)

			files, hooks := config.CheckAccess(path, environment{}.get, who)

			var got []string
			for _, err := range hooks {
				said, _, _ := strings.Cut(err.Error(), ", of user ")
				got = append(got, strings.ReplaceAll(said+"), "+fixOf(t, err), dir, "DIR"))
			}
			var want []string
			if test.want != "" {
				want = append(want, "hooks.on_failure: the service's user service cannot "+test.want)
			}
			if !slices.Equal(got, want) || len(files) > 0 {
				t.Errorf("got %q, %v, want %q", got, files, want)
			}
		})
	}
}

func TestAccountOfThisHost(t *testing.T) {
	root, err := AccountOf("root")
	if err != nil || root.UID != 0 || !slices.Contains(root.Groups, 0) {
		t.Errorf("got %+v, %v", root, err)
	}
	if _, err := AccountOf("no-such-user-here"); err == nil {
		t.Error("found a user that does not exist")
	}
}
