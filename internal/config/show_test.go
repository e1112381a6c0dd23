package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// What is shown may replace the file: it is read as the same configuration, without the
// environment.
func TestTheEffectiveConfigurationIsAConfiguration(t *testing.T) {
	for _, path := range testFiles(t, "good") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			env := environmentOf(readTestFile(t, path))
			if env["VAULT_TOKEN"] != "" {
				env["VAULT_TOKEN"] = "hvs.of-the-environment"
			}
			want, err := Load(path, env.get)
			if err != nil {
				t.Fatal(err)
			}

			text, err := want.YAML()
			if err != nil {
				t.Fatal(err)
			}
			shown := filepath.Join(t.TempDir(), "shown.yaml")
			if err := os.WriteFile(shown, text, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := Load(shown, environment{"VAULT_TOKEN": env["VAULT_TOKEN"]}.get)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}

			want.Vault.CAFileFrom = "" // only for messages
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s\nis read as\n%+v\nnot\n%+v", text, got, want)
			}
			if strings.Contains(string(text), "hvs.of-the-environment") {
				t.Error("it has the token")
			}
		})
	}
}
