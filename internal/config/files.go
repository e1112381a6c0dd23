package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"mailu-rotator/crypto"
)

const keyOfCAFile = "vault.ca_file"

// file is a file that the configuration names.
type file struct {
	key   string
	path  *string
	check func(path string) error
}

// files lists all of them, including the unset ones.
func (c *Config) files() []file { return append(c.read(), c.Hooks.files()...) }

// read lists the files that this program itself reads.
func (c *Config) read() []file {
	auth := &c.Vault.Auth
	all := []file{
		{keyOfCAFile, &c.Vault.CAFile, checkCertificates},
		{"vault.auth.token_file", &auth.TokenFile, checkWith(ReadSecret)},
		{"vault.auth.role_id_file", &auth.RoleIDFile, checkWith(ReadSecret)},
		{"vault.auth.secret_id_file", &auth.SecretIDFile, checkWith(ReadSecret)},
		{"vault.auth.jwt_file", &auth.JWTFile, checkWith(ReadServiceAccountToken)},
		{"vault.auth.cert_file", &auth.CertFile, checkCertificates},
		{"vault.auth.key_file", &auth.KeyFile, checkPrivate},
		{"listen.token_file", &c.Listen.TokenFile, checkWith(ReadSecret)},
	}
	for i := range c.Mailu.Servers {
		server, path := &c.Mailu.Servers[i], fmt.Sprintf("mailu.servers[%d]", i)
		all = append(all,
			file{path + ".token_file", &server.TokenFile, checkWith(ReadSecret)},
			file{path + ".ca_file", &server.CAFile, checkCertificates},
		)
	}
	return all
}

// CheckFiles opens every file that the configuration names, except the programs of
// hooks, checks its permissions and its content, and returns all errors. It proves
// nothing about a later moment: an agent may replace a file at any time.
func (c *Config) CheckFiles() error {
	errs := c.check(c.read())
	// The errors above, one per file, are more specific than this one.
	if len(errs) == 0 && c.Vault.Auth.Method == AuthCert {
		if err := checkPair(c.Vault.Auth.CertFile, c.Vault.Auth.KeyFile); err != nil {
			errs = append(errs, fmt.Errorf("vault.auth.key_file: %w", err))
		}
	}
	return errors.Join(errs...)
}

// CheckHooks returns all errors of the hooks' programs. They stop no run: only the hook
// itself is skipped, see [CheckProgram].
func (c *Config) CheckHooks() error { return errors.Join(c.check(c.Hooks.files())...) }

func (c *Config) check(files []file) (errs []error) {
	for _, file := range files {
		if *file.path == "" {
			continue
		}
		if err := file.check(*file.path); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.sourceOf(file.key), err))
		}
	}
	return errs
}

// sourceOf names the key, and the variable that gave it its value.
func (c *Config) sourceOf(key string) string {
	if key == keyOfCAFile && c.Vault.CAFileFrom != "" {
		return key + " (from " + c.Vault.CAFileFrom + ")"
	}
	return key
}

func checkWith(read func(string) (crypto.Secret, error)) func(string) error {
	return func(path string) error {
		secret, err := read(path)
		secret.Wipe()
		return err
	}
}

func checkCertificates(path string) error {
	data, err := readFile(path, publicFile())
	if err != nil {
		return err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(data) {
		return fmt.Errorf("%s holds no PEM certificate", path)
	}
	return nil
}

func checkPrivate(path string) error {
	data, err := readFile(path, ownersSecret())
	clear(data)
	return err
}

func checkPair(certFile, keyFile string) error {
	cert, err := readFile(certFile, publicFile())
	if err != nil {
		return err
	}
	key, err := readFile(keyFile, ownersSecret())
	if err != nil {
		return err
	}
	defer clear(key)
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		return fmt.Errorf("%s and %s are not a pair: %w", keyFile, certFile, err)
	}
	return nil
}
