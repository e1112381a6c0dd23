package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"mailu-rotator/crypto"
)

// validate reports every value that cannot work, and writes those with several
// spellings in one.
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

// reportPassword places an error that concerns the recipe as a whole at the
// section, for want of one key to blame.
func (l *loader) reportPassword(err error) {
	for name := range l.broken {
		if strings.HasPrefix(name, "password.") {
			return // the recipe judged was not the one in the file
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
