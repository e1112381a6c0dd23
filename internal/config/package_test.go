package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The configuration that packages install in /etc must be refused until an
// administrator completes it, and accepted once its suggested lines are enabled.
func TestPackagedConfigurationIsRefusedUntilItIsCompleted(t *testing.T) {
	text := string(readTestFile(t, "../../deploy/packaging/config.yaml"))
	credentials := environment{"CREDENTIALS_DIRECTORY": "/run/credentials/mailu-rotator.service"}.get
	file := filepath.Join(t.TempDir(), "config.yaml")
	load := func(text string) (*Config, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return Load(file, credentials)
	}
	comment, settings, _ := strings.Cut(text, "\n\n")

	_, unedited := load(text)
	completed, err := load(comment + "\n\n" + strings.ReplaceAll(settings, "  # ", "  "))

	for _, missing := range []string{"vault.address: not set", "mailu.servers: expected a list"} {
		if unedited == nil || !strings.Contains(unedited.Error(), missing) {
			t.Errorf("as packaged: %v, should say %q", unedited, missing)
		}
	}
	if err != nil {
		t.Fatalf("completed: %v", err)
	}
	if token := completed.Mailu.Servers[0].TokenFile; token != "/run/credentials/mailu-rotator.service/mail.example.com.token" {
		t.Errorf("the token is read from %s", token)
	}
}
