package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailu-rotator/crypto"
)

// validate reports every value that cannot work, and writes those with several
// spellings in one.
func (l *loader) validate(c *Config) {
	l.validateVault(&c.Vault)
	l.validateAuth(&c.Vault.Auth)
	l.validateServers(c)
	l.validateRotation(c.Rotation)
	if _, err := crypto.NewGenerator(c.Password.Recipe()); err != nil {
		l.reportPassword(err)
	}
	l.validateHooks(&c.Hooks)
	oneOf(l, "log.level", c.Log.Level, LogDebug, LogInfo, LogWarn, LogError)
	oneOf(l, "log.format", c.Log.Format, LogAuto, LogJSON, LogConsole)
}

func (l *loader) validateRotation(r Rotation) {
	if r.Schedule.Off() {
		l.report("rotation.schedule", "empty: nothing would ever be rotated; give five cron fields, such as \"0 3 * * *\"")
	}
	between(l, "rotation.jitter", r.Jitter, 0, 24*time.Hour-1, "0s to less than 24h")
	if r.Window <= 0 {
		l.report("rotation.window", "%s leaves no time to rotate anything: give more than 0s", r.Window)
	}
	between(l, "rotation.workers", r.Workers, 1, 256, "1 to 256")
	between(l, "rotation.claim_ttl", r.ClaimTTL, time.Second, time.Hour, "1s to 1h")
	if r.ShutdownGrace < 0 {
		l.report("rotation.shutdown_grace", "%s is negative: give 0s or more", r.ShutdownGrace)
	}
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

// between reports a value outside lowest to highest, which allowed spells out.
func between[T cmp.Ordered](l *loader, key string, value, lowest, highest T, allowed string) {
	if value < lowest || value > highest {
		l.report(key, "%v is out of range: give %s", value, allowed)
	}
}

func oneOf[T ~string](l *loader, key string, value T, allowed ...T) bool {
	if slices.Contains(allowed, value) {
		return true
	}
	names := make([]string, len(allowed))
	for i, one := range allowed {
		names[i] = string(one)
	}
	hint := ""
	if near := nearest(string(value), names); near != "" {
		hint = fmt.Sprintf("; did you mean %s?", near)
	}
	l.report(key, "%.40q is not one of %s%s", value, strings.Join(names, ", "), hint)
	return false
}
