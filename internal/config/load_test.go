package config

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// directives returns the values of "# name: value" lines at the top of a file.
func directives(text []byte, name string) []string {
	var values []string
	for line := range strings.Lines(string(text)) {
		comment, found := strings.CutPrefix(line, "# ")
		if !found {
			break
		}
		if value, found := strings.CutPrefix(comment, name+": "); found {
			values = append(values, strings.TrimRight(value, "\n"))
		}
	}
	return values
}

func environmentOf(text []byte) environment {
	env := environment{}
	for _, assignment := range directives(text, "env") {
		name, value, _ := strings.Cut(assignment, "=")
		env[name] = value
	}
	return env
}

func testFiles(t testing.TB, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in testdata/%s: %v", folder, err)
	}
	return files
}

// The first lines of every file in testdata/bad list all its errors: each line of the
// error contains one "want", and there are no others.
func TestBadConfigurationsAreRefused(t *testing.T) {
	for _, path := range testFiles(t, "bad") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text := readTestFile(t, path)
			wants := directives(text, "want")

			_, err := Load(path, environmentOf(text).get)

			if err == nil {
				t.Fatal("accepted")
			}
			lines := strings.Split(err.Error(), "\n")
			if lines[0] != "configuration "+path+":" {
				t.Errorf("error begins with %q", lines[0])
			}
			if got := lines[1:]; len(got) != len(wants) {
				t.Fatalf("%d errors, want %d:\n%s", len(got), len(wants), strings.Join(got, "\n"))
			}
			for i, want := range wants {
				if !strings.Contains(lines[i+1], want) {
					t.Errorf("got  %s\nwant %s", lines[i+1], want)
				}
			}
		})
	}
}

func TestErrorsRepeatNoSecrets(t *testing.T) {
	for _, path := range testFiles(t, "bad") {
		text := readTestFile(t, path)
		_, err := Load(path, environmentOf(text).get)
		if err != nil && strings.Contains(err.Error(), "SECRET"+"SECRET") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestGoodConfigurationsAreAccepted(t *testing.T) {
	for _, path := range testFiles(t, "good") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			env := environmentOf(readTestFile(t, path))

			if _, err := Load(path, env.get); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestEveryAuthMethodHasAGoodFile(t *testing.T) {
	seen := map[AuthMethod]bool{}
	for _, path := range testFiles(t, "good") {
		seen[loadGood(t, filepath.Base(path)).Vault.Auth.Method] = true
	}

	for _, method := range authMethods() {
		if !seen[method] {
			t.Errorf("no file in testdata/good has method %s", method)
		}
	}
}

func loadGood(t testing.TB, name string) *Config {
	t.Helper()
	path := filepath.Join("testdata", "good", name)
	config, err := Load(path, environmentOf(readTestFile(t, path)).get)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestLoadReportsAMissingFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"), environment{}.get)

	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestLoadRefusesAFileTooLarge(t *testing.T) {
	large := string(bytes.Repeat([]byte("# padding\n"), MaxFileSize/10+1))
	path := writeFile(t, t.TempDir(), "large.yaml", large, 0o600)

	_, err := Load(path, environment{}.get)

	if err == nil || !strings.Contains(err.Error(), "larger than 1048576 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestLongErrorsAreCutShort(t *testing.T) {
	var text strings.Builder
	for range 1000 {
		text.WriteString("same: 1\n")
	}

	_, err := newLoader("/", environment{}.get).load([]byte(text.String()))

	lines := strings.Split(err.Error(), "\n")
	if len(lines) != maxProblems+1 || !regexp.MustCompile(`^and \d+ more$`).MatchString(lines[maxProblems]) {
		t.Errorf("%d lines, the last: %s", len(lines), lines[len(lines)-1])
	}
}
