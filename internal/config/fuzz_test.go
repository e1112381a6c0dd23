package config

import (
	"os"
	"strings"
	"testing"
	"time"
)

// FuzzLoad looks for files that crash or stall the loader, and for accepted
// configurations that break a promise.
func FuzzLoad(f *testing.F) {
	for _, folder := range []string{"good", "bad"} {
		for _, path := range testFiles(f, folder) {
			f.Add(readTestFile(f, path))
		}
	}
	example, err := os.ReadFile(examplePath)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	env := environment{
		"VAULT_TOKEN":           "t",
		"VAULT_ADDR":            "https://vault.example.com:8200",
		"CREDENTIALS_DIRECTORY": "/run/credentials/x",
	}

	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > MaxFileSize {
			return
		}
		config, err := newLoader("/etc/mailu-rotator", env.get).load(data)
		if (config == nil) == (err == nil) {
			t.Fatalf("config %v, error %v", config, err)
		}
		if err != nil {
			return
		}
		if len(config.Mailu.Servers) == 0 || config.Vault.Address == "" || config.Rotation.ClaimTTL < time.Second {
			t.Errorf("accepted an incomplete configuration: %+v", config)
		}
		for _, file := range config.files() {
			if *file.path != "" && !strings.HasPrefix(*file.path, "/") {
				t.Errorf("%s is not absolute: %q", file.key, *file.path)
			}
		}
	})
}
