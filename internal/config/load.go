package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/token"

	"mailu-rotator/crypto"
)

// MaxFileSize is the largest file that [Load] reads, in bytes.
const MaxFileSize = 1 << 20

// Load reads the configuration at path, takes missing values from VAULT_ADDR,
// VAULT_TOKEN, VAULT_NAMESPACE and VAULT_CACERT, and returns it with all defaults, or
// returns one error that joins all problems. env is os.Getenv, or a test's replacement.
//
// Load opens no file but path: see [Config.CheckFiles].
func Load(path string, env func(string) string) (*Config, error) {
	data, err := readConfig(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("find the directory of %s: %w", path, err)
	}
	config, err := newLoader(dir, env).load(data)
	if err != nil {
		return nil, fmt.Errorf("configuration %s:\n%w", path, err)
	}
	return config, nil
}

func readConfig(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, MaxFileSize+1))
	if err == nil && len(data) > MaxFileSize {
		return nil, fmt.Errorf("%s is larger than %d bytes: is it the right file?", path, MaxFileSize)
	}
	return data, err
}

// loader holds the state of one Load.
type loader struct {
	problems []problem // all of them, so that the operator can fix the file in one pass
	dir      string    // relative paths start here
	env      func(string) string
	// at maps every key in the file, by its full path such as mailu.servers[0].origin,
	// to its position.
	at map[string]token.Position
	// from maps a key to the variable that gave it its value.
	from map[string]string
	// broken holds the keys whose value could not be read. They hold defaults, so
	// further errors about them, or about keys below them, would be wrong.
	broken map[string]bool
}

func newLoader(dir string, env func(string) string) *loader {
	return &loader{
		dir:    dir,
		env:    env,
		at:     map[string]token.Position{},
		from:   map[string]string{},
		broken: map[string]bool{},
	}
}

func (l *loader) load(data []byte) (*Config, error) {
	root, ok := l.parse(data)
	if !ok {
		// Without a tree every further check would mislead.
		return nil, l.err()
	}
	config := Default()
	l.decode(root, &config)
	if l.broken[""] {
		return nil, l.err()
	}
	l.fillFromEnvironment(&config)
	l.validate(&config)
	l.fillDependent(&config)
	l.resolvePaths(&config)
	if err := l.err(); err != nil {
		return nil, err
	}
	return &config, nil
}

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
	if secret := l.env("VAULT_TOKEN"); secret != "" {
		if err := checkSecret([]byte(secret)); err != nil {
			l.add(token.Position{}, "VAULT_TOKEN: %v", err)
		}
		c.Vault.Auth.Token = crypto.SecretFromString(secret)
	}
}

// fillDependent sets defaults that depend on another key.
func (l *loader) fillDependent(c *Config) {
	auth := &c.Vault.Auth
	switch auth.Method {
	case AuthAppRole, AuthKubernetes, AuthCert:
		auth.Mount = cmp.Or(auth.Mount, string(auth.Method))
	}
	if auth.Method == AuthKubernetes {
		auth.JWTFile = cmp.Or(auth.JWTFile, ServiceAccountToken)
	}
	for i := range c.Mailu.Servers {
		if server := &c.Mailu.Servers[i]; server.APIURL == "" {
			server.APIURL = string(server.Origin) + "/api/v1"
		}
	}
}

// report adds a problem with the value of key.
func (l *loader) report(key, format string, args ...any) {
	if l.isBroken(key) {
		return
	}
	name := key
	if variable := l.from[key]; variable != "" {
		name += " (from " + variable + ")"
	}
	l.add(l.at[key], "%s: %s", name, fmt.Sprintf(format, args...))
}

func (l *loader) isBroken(key string) bool {
	for section := range l.broken {
		rest, found := strings.CutPrefix(key, section)
		if found && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// problem is an error in the file; one at the zero position is nowhere in it.
type problem struct {
	at   token.Position
	text string
}

func (l *loader) add(at token.Position, format string, args ...any) {
	l.problems = append(l.problems, problem{at: at, text: fmt.Sprintf(format, args...)})
}

// maxProblems keeps the error short for a file that is not a configuration at all.
const maxProblems = 50

// err returns nil or the problems in file order; those without a line come last.
func (l *loader) err() error {
	slices.SortStableFunc(l.problems, func(a, b problem) int {
		if (a.at.Line == 0) != (b.at.Line == 0) {
			return cmp.Compare(b.at.Line, a.at.Line)
		}
		return cmp.Or(cmp.Compare(a.at.Line, b.at.Line), cmp.Compare(a.at.Column, b.at.Column))
	})
	var errs []error
	for i, p := range l.problems {
		switch {
		case i == maxProblems:
			errs = append(errs, fmt.Errorf("and %d more", len(l.problems)-i))
			return errors.Join(errs...)
		case p.at.Line == 0:
			errs = append(errs, errors.New(p.text))
		default:
			errs = append(errs, fmt.Errorf("line %d, column %d: %s", p.at.Line, p.at.Column, p.text))
		}
	}
	return errors.Join(errs...)
}
