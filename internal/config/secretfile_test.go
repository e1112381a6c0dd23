package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mailu-rotator/crypto"
)

func TestReadSecretCutsOneNewline(t *testing.T) {
	for content, want := range map[string]string{
		"s3cret":     "s3cret",
		"s3cret\n":   "s3cret",
		"s3cret\r\n": "s3cret",
	} {
		secret, err := ReadSecret(writeFile(t, t.TempDir(), "token", content, 0o600))

		if err != nil || secret.RevealString() != want {
			t.Errorf("%q: got %q, %v", content, secret.RevealString(), err)
		}
	}
}

func TestReadSecretRefusesWhatIsNoToken(t *testing.T) {
	for content, want := range map[string]string{
		"":                                       "empty",
		"\n":                                     "empty",
		"s3cret\n\n":                             "byte 7",
		"s3cret ":                                "byte 7",
		" s3cret":                                "byte 1",
		"s3c\x00ret":                             "byte 4",
		"s3cr\xc3\xa9t":                          "byte 5",
		"\xef\xbb\xbfs3cret":                     "byte 1",
		"s3cret\nmore":                           "byte 7",
		strings.Repeat("k6iUCUh0", 9) + "\nRJA=": "use mailu-rotator-as-service",
		strings.Repeat("k6iUCUh0", 9) + "\n-":    "byte 73",
		strings.Repeat("x", MaxSecretSize+1):     "larger than 65536 bytes",
	} {
		path := writeFile(t, t.TempDir(), "token", content, 0o600)

		_, err := ReadSecret(path)

		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%.20q: got %v, want %q and the path", content, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "s3c") {
			t.Errorf("the error repeats the content: %v", err)
		}
	}
}

func TestReadSecretChecksTheMode(t *testing.T) {
	for mode, want := range map[fs.FileMode]string{
		0o600: "", 0o400: "", 0o640: "", 0o440: "",
		0o644: "readable by everyone (mode 0644): chmod 600 ",
		0o444: "readable by everyone (mode 0444): chmod 600 ",
		0o660: "writable by others than its owner (mode 0660): chmod 600 ",
		0o602: "writable by others than its owner (mode 0602): chmod 600 ",
	} {
		path := writeFile(t, t.TempDir(), "token", "s3cret", mode)

		_, err := ReadSecret(path)

		if got := message(err); (want == "") != (err == nil) || !strings.Contains(got, want) {
			t.Errorf("%04o: got %q, want %q", mode, got, want)
		}
	}
}

func TestServiceAccountTokenMayBeReadableByThePod(t *testing.T) {
	dir := t.TempDir()

	if _, err := ReadServiceAccountToken(writeFile(t, dir, "mounted", "jwt", 0o644)); err != nil {
		t.Error(err)
	}
	if _, err := ReadServiceAccountToken(writeFile(t, dir, "open", "jwt", 0o666)); err == nil {
		t.Error("a token that everybody may write was accepted")
	}
}

func TestReadSecretChecksTheFileBehindALink(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]fs.FileMode{"closed": 0o600, "open": 0o644} {
		writeFile(t, dir, name, "s3cret", mode)
		if err := os.Symlink(name, filepath.Join(dir, name+"-link")); err != nil {
			t.Fatal(err)
		}
	}

	if _, err := ReadSecret(filepath.Join(dir, "closed-link")); err != nil {
		t.Error(err)
	}
	if _, err := ReadSecret(filepath.Join(dir, "open-link")); err == nil {
		t.Error("a link to a file readable by everyone was accepted")
	}
}

func TestReadSecretRefusesOtherThanRegularFiles(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}

	for _, path := range []string{dir, pipe, "/dev/zero"} {
		if _, err := ReadSecret(path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s: got %v", path, err)
		}
	}
	if _, err := ReadSecret(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func FuzzReadSecret(f *testing.F) {
	for _, seed := range []string{"", "t", "t\n", "t\r\n", "\r\n", "a b", "\x00"} {
		f.Add([]byte(seed))
	}
	path := filepath.Join(f.TempDir(), "token")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		secret, err := ReadSecret(path)
		if err == nil && (secret.Empty() || strings.ContainsFunc(secret.RevealString(), notVisible)) {
			t.Errorf("accepted %q", content)
		}
		if err != nil && !secret.Equal(crypto.Secret{}) {
			t.Error("a secret beside an error")
		}
	})
}

func notVisible(r rune) bool { return r <= ' ' || r > '~' }

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
