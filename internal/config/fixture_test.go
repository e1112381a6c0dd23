package config

import (
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// environment stands in for the process environment.
type environment map[string]string

func (e environment) get(name string) string { return e[name] }

func authMethods() []AuthMethod {
	return []AuthMethod{AuthToken, AuthTokenFile, AuthAppRole, AuthKubernetes, AuthCert}
}

func readTestFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// writeFile writes a file with exactly this mode, whatever the umask.
func writeFile(t testing.TB, dir, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// defaults yields every key that holds a value, with its default as a user would write
// it, or "".
func defaults() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		yieldDefaults(reflect.ValueOf(Default()), "", yield)
	}
}

func yieldDefaults(section reflect.Value, under string, yield func(string, string) bool) bool {
	for name, i := range keys(section.Type()) {
		value, path := section.Field(i), join(under, name)
		if value.Type() == reflect.TypeFor[[]Server]() {
			value, path = reflect.ValueOf(DefaultServer()), path+"[]"
		}
		if isSection(value.Type()) {
			if !yieldDefaults(value, path, yield) {
				return false
			}
			continue
		}
		text := fmt.Sprint(value.Interface())
		if value.Kind() == reflect.Bool {
			// A bool always has a default.
		} else if value.IsZero() {
			text = ""
		}
		if !yield(path, text) {
			return false
		}
	}
	return true
}
