package config

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPrefixIsOneNameOfNATS(t *testing.T) {
	for _, good := range []string{"MR", "m", "mail_eu-1", strings.Repeat("9", 32), "azAZ09"} {
		if got, err := parsePrefix(good); got != good || err != nil {
			t.Errorf("%q: got %q, %v", good, got, err)
		}
	}
	for _, bad := range []string{"", strings.Repeat("9", 33), "a.b", "a b", "*", "a>", "ä", "a/", "a@", "a[", "a`", "a{", "a:"} {
		if _, err := parsePrefix(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestClusterURLsHaveOneForm(t *testing.T) {
	config := loadGood(t, "cluster.yaml")

	want := []string{"tls://nats-1.example.com:4222", "tls://nats-2.example.com", "nats://[::1]:4222"}
	if got := config.Cluster.Servers; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// clusterConfig is testdata/good/cluster.yaml with its files, all in order, in dir.
func clusterConfig(t *testing.T, dir string) *Config {
	t.Helper()
	path := writeFile(t, dir, "config.yaml", string(readTestFile(t, "testdata/good/cluster.yaml")), 0o600)
	config, err := Load(path, environment{"VAULT_TOKEN": "t"}.get)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := certificate(t)
	writeFile(t, dir, "nats-ca.pem", cert, 0o644)
	writeFile(t, dir, "nats.pem", cert, 0o644)
	writeFile(t, dir, "nats-key.pem", key, 0o600)
	writeFile(t, dir, "nats.nkey", "SUA", 0o600)
	writeFile(t, dir, "mail.token", "token", 0o600)
	return config
}

func TestCheckFilesOpensThoseOfTheCluster(t *testing.T) {
	dir := t.TempDir()
	config := clusterConfig(t, dir)
	if err := errors.Join(config.CheckFiles()...); err != nil {
		t.Fatalf("in order, yet: %v", err)
	}
	_, other := certificate(t)

	for name, test := range map[string]struct {
		content string
		want    string
	}{
		"nats-ca.pem":  {"none", "cluster.ca_file: " + dir + "/nats-ca.pem holds no PEM certificate"},
		"nats.pem":     {"none", "cluster.cert_file: " + dir + "/nats.pem holds no PEM certificate"},
		"nats-key.pem": {other, "cluster.key_file: " + dir + "/nats-key.pem and " + dir + "/nats.pem are not a pair"},
		"nats.nkey":    {"two words", "cluster.nkey_file: " + dir + "/nats.nkey: holds a space"},
	} {
		path := filepath.Join(dir, name)
		whole := string(readTestFile(t, path))
		writeFile(t, dir, name, test.content, 0o600)

		err := errors.Join(config.CheckFiles()...)

		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
		writeFile(t, dir, name, whole, 0o600)
	}

	writeFile(t, dir, "nats-key.pem", other, 0o644)
	if err := errors.Join(config.CheckFiles()...); err == nil || !strings.Contains(err.Error(), "readable by everyone (mode 0644)") {
		t.Errorf("the key of everyone: got %v", err)
	}
}
