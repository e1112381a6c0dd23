package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// MaxFileSize is the largest file that [Load] reads, in bytes.
const MaxFileSize = 1 << 20

// Load reads the configuration at path, takes missing values from VAULT_ADDR,
// VAULT_TOKEN, VAULT_NAMESPACE and VAULT_CACERT, and returns it with all defaults, or
// returns one error that joins all problems. env is os.Getenv, or a test's replacement.
//
// Load opens no file but path: see [Config.CheckFiles].
func Load(path string, env func(string) string) (*Config, error) {
	data, err := readBounded(path)
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

func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, MaxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxFileSize {
		return nil, fmt.Errorf("%s is larger than %d bytes: is it the right file?", path, MaxFileSize)
	}
	return data, nil
}

// loader holds the state of one Load.
type loader struct {
	problems
	dir string // relative paths start here
	env func(string) string
	// at maps every key in the file, by its full path such as mailu.servers[0].origin,
	// to its position.
	at map[string]position
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
		at:     map[string]position{},
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
