package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"mailu-rotator/crypto"
)

// credentialsDirectory is the variable in which systemd passes the directory of
// LoadCredential=.
const credentialsDirectory = "CREDENTIALS_DIRECTORY"

// fillFromEnvironment fills keys that the file leaves out from Vault's own variables. A
// key that is present but empty counts as set: "no namespace".
func (l *loader) fillFromEnvironment(c *Config) {
	for _, one := range []struct {
		key, variable string
		target        *string
	}{
		{"vault.address", "VAULT_ADDR", &c.Vault.Address},
		{"vault.namespace", "VAULT_NAMESPACE", &c.Vault.Namespace},
		{keyOfCAFile, "VAULT_CACERT", &c.Vault.CAFile},
	} {
		value := l.env(one.variable)
		if _, said := l.at[one.key]; said || value == "" {
			continue
		}
		*one.target = value
		l.from[one.key] = one.variable
	}
	c.Vault.CAFileFrom = l.from[keyOfCAFile]
	if c.Vault.Auth.Method != AuthToken {
		return // do not keep an unused token from the environment
	}
	if token := l.env("VAULT_TOKEN"); token != "" {
		if err := checkSecret([]byte(token)); err != nil {
			l.add(position{}, "VAULT_TOKEN: %v", err)
		}
		c.Vault.Auth.Token = crypto.SecretFromString(token)
	}
}

// fillDependent sets defaults that depend on another key.
func (l *loader) fillDependent(c *Config) {
	auth := &c.Vault.Auth
	if auth.Mount == "" && authFields(auth.Method)["mount"] != unused {
		auth.Mount = string(auth.Method)
	}
	if auth.JWTFile == "" && auth.Method == AuthKubernetes {
		auth.JWTFile = ServiceAccountToken
	}
	for i := range c.Mailu.Servers {
		if server := &c.Mailu.Servers[i]; server.APIURL == "" {
			server.APIURL = string(server.Origin) + "/api/v1"
		}
	}
}

// resolvePaths makes every path absolute.
func (l *loader) resolvePaths(c *Config) {
	for _, file := range c.files() {
		if *file.path == "" {
			continue
		}
		resolved, err := l.resolve(file.key, *file.path)
		if err != nil {
			l.report(file.key, "%v", err)
			continue
		}
		*file.path = resolved
	}
}

func (l *loader) resolve(key, path string) (string, error) {
	if strings.IndexByte(path, 0) >= 0 {
		return "", errors.New("a path cannot hold a zero byte")
	}
	if looksLikeToken(path) {
		return "", errors.New("this is a token, not a path: put it in a file (chmod 600), name that here, and revoke the token if anybody has seen this file")
	}
	if l.from[key] != "" {
		// Like Vault's own tools: relative to the working directory.
		return filepath.Abs(path)
	}
	first, rest, _ := strings.Cut(path, "/")
	switch {
	case first == "$"+credentialsDirectory && rest != "":
		dir := l.env(credentialsDirectory)
		if dir == "" {
			return "", fmt.Errorf("%s is not set: it is when systemd starts the program with LoadCredential=; set it by hand otherwise", credentialsDirectory)
		}
		return filepath.Join(dir, rest), nil
	case strings.HasPrefix(first, "$"), strings.HasPrefix(first, "~"):
		return "", fmt.Errorf("%.40q is not expanded: only $%s/name is; write the path out", first, credentialsDirectory)
	case filepath.IsAbs(path):
		return filepath.Clean(path), nil
	}
	return filepath.Join(l.dir, path), nil
}

// looksLikeToken recognizes Vault tokens (service, batch, recovery), which people paste
// where a path belongs; the error message must not repeat them.
func looksLikeToken(path string) bool {
	if strings.Contains(path, "/") {
		return false
	}
	for _, prefix := range []string{"hvs.", "hvb.", "hvr."} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}
