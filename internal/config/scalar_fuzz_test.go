package config

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailu-rotator/internal/peer"
)

// Every accepted schedule yields times after the given one, and parses to the same
// schedule from its own String.
func FuzzParseSchedule(f *testing.F) {
	for _, seed := range []string{
		"0 3 * * *", "", " @daily ", "@every 1h30m", "@every -1s", "TZ=UTC", "CRON_TZ=Europe/Berlin 0 3 * * *", "0 0 30 2 *", "*/7 0-23/2 1,15 JAN-MAR MON", "60 * * * *", "* * * * * *",
	} {
		f.Add(seed)
	}
	moment := time.Date(2026, 10, 25, 0, 59, 59, 0, time.UTC)
	f.Fuzz(func(t *testing.T, spec string) {
		schedule, err := ParseSchedule(spec)
		if err != nil {
			if !schedule.Off() {
				t.Errorf("%q: a schedule beside %v", spec, err)
			}
			return
		}
		if schedule.Off() != (strings.TrimSpace(spec) == "") {
			t.Errorf("%q: off %t", spec, schedule.Off())
		}
		again, err := ParseSchedule(schedule.String())
		if err != nil || again.String() != schedule.String() {
			t.Errorf("%q comes back as %q, %v", spec, again, err)
		}
		if next := schedule.Next(moment); !schedule.Off() && !next.After(moment) {
			t.Errorf("%q: after %s comes %s", spec, moment, next)
		}
	})
}

// A parsed duration equals its text; error messages about one are short.
func FuzzParseDuration(f *testing.F) {
	for _, seed := range []string{"90s", "1h30m", "", "5", "-1m", "9223372036854775807ns", "1e9h", "0.000000001s", "1µs", strings.Repeat("9", 300) + "h"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDuration(text)
		if err != nil {
			if d != 0 || len(err.Error()) > 600 {
				t.Errorf("%q: %s, %v", text, d, err)
			}
			return
		}
		if again, err := parseDuration(d.String()); err != nil || again != d {
			t.Errorf("%q is %s, which is %s, %v", text, d, again, err)
		}
	})
}

// An accepted URL has only scheme, host and path. Errors never repeat a refused one: it
// may contain a password.
func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"https://vault.example.com:8200", "http://[::1]:8200/x//", "https://u:hunter2-hunter2@h", "https://h?q", "https://h#f", "//h", "https:h", "https://h:", "https://%zz", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := parseURL(raw)
		if err != nil {
			if strings.Contains(raw, "hunter2-hunter2") && strings.Contains(err.Error(), "hunter2-hunter2") {
				t.Errorf("%q is repeated: %v", raw, err)
			}
			return
		}
		if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Hostname() == "" || strings.HasSuffix(u.Path, "/") {
			t.Errorf("%q is taken for %+v", raw, u)
		}
		if again, err := parseURL(u.String()); err != nil || again.String() != u.String() {
			t.Errorf("%q gives %q, which gives %v, %v", raw, u, again, err)
		}
	})
}

// Every accepted address can be listened on, and only loopback is open without a token.
func FuzzEndpoint(f *testing.F) {
	for _, seed := range []string{
		"127.0.0.1:9180", "[::1]:9180", ":9180", "localhost:0", "unix:/run/x.sock", "unix:x", "unix:", "unix:/a\x00b", "0.0.0.0:99999", "[::ffff:127.0.0.1]:1", "127.1:1", "localhost.:1", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		network, address := Listen{Address: text}.Endpoint()
		host, err := checkEndpoint(network, address)
		if err != nil {
			return
		}
		switch network {
		case "unix":
			if !filepath.IsAbs(address) || len(address) > maxSocketPath || host != "" {
				t.Errorf("%q: socket %q", text, address)
			}
		case "tcp":
			if ip := net.ParseIP(host); peer.IsLoopback(host) && !strings.EqualFold(host, "localhost") && !ip.IsLoopback() {
				t.Errorf("%q: %q passes for loopback", text, host)
			}
		default:
			if text != "" {
				t.Errorf("%q does not listen", text)
			}
		}
	})
}
