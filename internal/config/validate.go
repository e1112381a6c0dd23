package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"mailu-rotator/crypto"
)

// validate reports every invalid value, and normalizes values that have several
// spellings.
func (l *loader) validate(c *Config) {
	l.validateTagged(reflect.ValueOf(*c), "")
	l.validateVault(&c.Vault)
	l.validateAuth(&c.Vault.Auth)
	l.validateServers(c)
	if c.Rotation.Schedule.Off() {
		l.report("rotation.schedule", "empty: nothing would ever be rotated; give five cron fields, such as \"0 3 * * *\"")
	}
	if _, err := crypto.NewGenerator(c.Password.Recipe()); err != nil {
		l.reportPassword(err)
	}
	l.validateListen(&c.Listen)
	l.validateHooks(&c.Hooks)
}

// reportPassword reports an error about the recipe as a whole at the section, because
// no single key is to blame.
func (l *loader) reportPassword(err error) {
	for name := range l.broken {
		if strings.HasPrefix(name, "password.") {
			return // the recipe holds defaults, not the file's values
		}
	}
	l.report("password", "%v", err)
}

func (l *loader) oneOf(key, value string, allowed []string) {
	if slices.Contains(allowed, value) {
		return
	}
	hint := ""
	if near := nearest(value, allowed); near != "" {
		hint = fmt.Sprintf("; did you mean %s?", near)
	}
	l.report(key, "%.40q is not one of %s%s", value, strings.Join(allowed, ", "), hint)
}
