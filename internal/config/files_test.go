package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCheckFilesAcceptsWhatIsInOrder(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t)
	config := certConfig(t, dir)
	writeFile(t, dir, "client.pem", cert, 0o644)
	writeFile(t, dir, "client-key.pem", key, 0o600)
	writeFile(t, dir, "mail.token", "token\n", 0o600)

	if err := errors.Join(config.CheckFiles()...); err != nil {
		t.Error(err)
	}
}

func TestCheckFilesReportsEverythingAtOnce(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t)
	config := certConfig(t, dir)
	config.Vault.CAFile = writeFile(t, dir, "ca.pem", "no certificate", 0o644)
	config.Mailu.Servers[0].CAFile = filepath.Join(dir, "none.pem")
	writeFile(t, dir, "client.pem", cert, 0o666)
	writeFile(t, dir, "client-key.pem", key, 0o644)
	writeFile(t, dir, "mail.token", "two words", 0o600)

	err := errors.Join(config.CheckFiles()...)

	if err == nil {
		t.Fatal("accepted")
	}
	wants := []string{
		"vault.ca_file: " + dir + "/ca.pem holds no PEM certificate",
		"vault.auth.cert_file: " + dir + "/client.pem is writable by others than its owner (mode 0666): chmod 644 ",
		"vault.auth.key_file: " + dir + "/client-key.pem is readable by everyone (mode 0644): chmod 600 ",
		"mailu.servers[0].token_file: " + dir + "/mail.token: holds a space",
		"mailu.servers[0].ca_file: open " + dir + "/none.pem: no such file",
	}
	lines := strings.Split(err.Error(), "\n")
	if !slices.EqualFunc(lines, wants, strings.HasPrefix) {
		t.Errorf("got:\n%v", err)
	}
}

func TestCheckFilesRefusesAKeyOfAnotherCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, _ := certificate(t)
	_, key := certificate(t)
	config := certConfig(t, dir)
	writeFile(t, dir, "client.pem", cert, 0o644)
	writeFile(t, dir, "client-key.pem", key, 0o600)
	writeFile(t, dir, "mail.token", "token", 0o600)

	err := errors.Join(config.CheckFiles()...)

	if err == nil || !strings.Contains(err.Error(), "are not a pair") {
		t.Errorf("got %v", err)
	}
}

// certConfig is testdata/good/auth-cert.yaml with its files in dir.
func certConfig(t *testing.T, dir string) *Config {
	t.Helper()
	content := readTestFile(t, "testdata/good/auth-cert.yaml")
	path := writeFile(t, dir, "config.yaml", string(content), 0o600)
	config, err := Load(path, environment{}.get)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return encodePEM("CERTIFICATE", der), encodePEM("PRIVATE KEY", keyDER)
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// Files to check are found by their key's name: a new key that ends in _file must be in
// files() too.
func TestEveryFileKeyIsChecked(t *testing.T) {
	config := Default()
	config.Mailu.Servers = []Server{DefaultServer()}
	var checked []string
	for _, file := range config.files() {
		checked = append(checked, strings.ReplaceAll(file.key, "[0]", "[]"))
	}

	for key := range defaults() {
		if strings.HasSuffix(key, "_file") && !slices.Contains(checked, key) {
			t.Errorf("%s is not in files()", key)
		}
	}
}

func TestAClosedDirectoryDoesNotExcuseAnOpenFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := writeFile(t, dir, "token", "s3cret", 0o644)

	_, err := ReadSecret(path)

	if err == nil {
		t.Error("the directory's mode made up for the file's")
	}
}
