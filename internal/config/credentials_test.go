package config

import (
	"os"
	"path/filepath"
	"testing"
)

// A command by hand finds the credentials of the service beside the configuration; where
// systemd says where they are, that holds.
func TestCredentialsAreBesideTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "credentials"), 0o700); err != nil {
		t.Fatal(err)
	}
	text := string(readTestFile(t, "testdata/good/systemd.yaml"))
	path := writeFile(t, dir, "config.yaml", text, 0o600)

	for set, want := range map[string]string{"": dir + "/credentials", "/run/credentials/x": "/run/credentials/x"} {
		config, err := Load(path, environment{credentialsDirectory: set}.get)
		if err != nil {
			t.Fatal(err)
		}
		if got := config.Mailu.Servers[0].TokenFile; got != want+"/mail.token" {
			t.Errorf("with %q the token is read from %s", set, got)
		}
	}
}
