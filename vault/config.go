package vault

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	defaultMinWait  = 500 * time.Millisecond
	defaultMaxWait  = 30 * time.Second
	defaultPatience = 15 * time.Minute
)

// Config selects the Vault, the paths in it and the timeouts. The caller has already
// merged file and environment: this package reads nothing from the environment except
// the usual HTTPS_PROXY and NO_PROXY.
type Config struct {
	// Address is Vault's URL, https or http, such as "https://vault:8200". It may
	// have the path under which a proxy serves Vault.
	Address string
	// OtherAddresses are further nodes of the same Vault, which differ in host and port
	// only. One that cannot serve is left for the next, as are the addresses of a name
	// that has several.
	OtherAddresses []string
	// Resolver looks their names up; nil is the system's.
	Resolver *net.Resolver
	// Namespace is the Vault Enterprise or OpenBao namespace; empty for none.
	Namespace string
	// CAFile holds the authorities that may sign Vault's certificate, in PEM, and is read
	// at every login; empty for those of the system.
	CAFile string

	// Mount, Prefix and Leaf place a tenant's record at
	// <Mount>/data/<Prefix>/<tenant>/<Leaf>. Each is one or more segments.
	Mount, Prefix, Leaf string
	Transit             Transit // the master key

	// Workers is the number of concurrent requests for records; as many connections are
	// kept open. 0 means 8.
	Workers int

	// MinWait and MaxWait bound the pause before a failed request is repeated,
	// including a Retry-After of Vault; 0 means 500ms and 30s.
	MinWait, MaxWait time.Duration
	// TryTimeout bounds one request; 0 means 90s, Vault's own limit.
	TryTimeout time.Duration
	// Patience bounds one call with all its tries and pauses, unless the caller's
	// context ends sooner; 0 means 15m.
	Patience time.Duration

	// The callbacks may be nil. They are called concurrently and must not block.

	// OnWait is called before every pause with its cause, which holds no secret, and
	// its length.
	OnWait func(cause error, pause time.Duration)
	// OnRequest is called after every try of an HTTP request with its operation, one of
	// [Operations], the status or 0 if no answer came, and the time until the answer's
	// header.
	OnRequest func(operation string, status int, took time.Duration)
	// OnToken is called with the expiry of the token in use: at a login, at each
	// renewal, and with the zero time if it does not expire or, at the end of the
	// session, was ours and is revoked.
	OnToken func(expires time.Time)
}

// Transit names an exportable AES-256 key of Vault's Transit engine.
type Transit struct {
	Mount, Key string
}

// checked returns the configuration with its defaults, or all its errors together.
func (c Config) checked() (Config, error) {
	errs := []error{
		checkAddress(c.Address),
		checkOthers(c.Address, c.OtherAddresses),
		checkPath("mount", c.Mount),
		checkPath("prefix", c.Prefix),
		checkPath("leaf", c.Leaf),
		checkPath("transit mount", c.Transit.Mount),
		checkPath("transit key", c.Transit.Key),
	}
	if c.Namespace != "" {
		errs = append(errs, checkPath("namespace", strings.Trim(c.Namespace, "/")))
	}
	if strings.Contains(c.Transit.Key, "/") {
		errs = append(errs, fmt.Errorf("transit key %q: a key's name has no slash", c.Transit.Key))
	}
	if err := errors.Join(errs...); err != nil {
		return Config{}, fmt.Errorf("vault configuration: %w", err)
	}
	return c.withDefaults(), nil
}

func (c Config) withDefaults() Config {
	c.Workers = cmp.Or(c.Workers, 8)
	c.MinWait = cmp.Or(c.MinWait, defaultMinWait)
	c.MaxWait = max(cmp.Or(c.MaxWait, defaultMaxWait), c.MinWait)
	c.TryTimeout = cmp.Or(c.TryTimeout, 90*time.Second)
	c.Patience = cmp.Or(c.Patience, defaultPatience)
	if c.OnWait == nil {
		c.OnWait = func(error, time.Duration) {}
	}
	if c.OnRequest == nil {
		c.OnRequest = func(string, int, time.Duration) {}
	}
	if c.OnToken == nil {
		c.OnToken = func(time.Time) {}
	}
	return c
}

func checkAddress(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.User != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		return errors.New("vault address is not like https://host:8200, without credentials") // which it may have: do not quote it
	case strings.ContainsFunc(u.Path, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("vault address %q has white space or an invisible character in its path", address)
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "v1" || segment == "ui" {
			return fmt.Errorf("vault address %q: /%s and what follows are added here", address, segment)
		}
	}
	return nil
}

func checkOthers(first string, others []string) error {
	for _, other := range others {
		if err := checkAddress(other); err != nil {
			return err
		}
		a, errA := url.Parse(first)
		b, errB := url.Parse(other)
		if errA == nil && errB == nil && (a.Scheme != b.Scheme || a.Path != b.Path) {
			return fmt.Errorf("vault address %q differs from the first in more than host and port", other)
		}
	}
	return nil
}

// checkPath accepts only text that means the same in a URL, in a policy and to the
// client, which joins paths: no "..", no wildcard, no template, no escape.
func checkPath(what, path string) error {
	if path == "" {
		return fmt.Errorf("%s is empty", what)
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("%s %q: empty, \".\" and \"..\" segments and outer slashes are not allowed", what, path)
		}
	}
	if strings.ContainsFunc(path, func(r rune) bool { return !strings.ContainsRune(pathRunes, r) }) {
		return fmt.Errorf("%s %q: only letters, digits and - _ . ~ @ : = are allowed", what, path)
	}
	return nil
}

const pathRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-_.~@:="

// TakeEnvironment removes every VAULT_* variable from the environment of this process
// and returns a replacement for os.Getenv that still has them. Vault's API client
// parses all variables that it knows each time one is made, even if the [Config]
// overrides them: a missing CA file, meant for another program, would stop this
// one. Call it before other goroutines read the environment.
func TakeEnvironment() (getenv func(string) string) {
	taken := map[string]string{}
	for _, name := range vaultVariables() {
		taken[name] = os.Getenv(name)
		_ = os.Unsetenv(name) // fails only for names that the environment cannot have
	}
	return func(name string) string { return cmp.Or(taken[name], os.Getenv(name)) }
}

func vaultVariables() []string {
	var names []string
	for _, setting := range os.Environ() {
		if name, _, _ := strings.Cut(setting, "="); strings.HasPrefix(name, "VAULT_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// proxyOf returns HTTPS_PROXY, unless NO_PROXY names the host. Plain http goes to no
// proxy, which would see the token: it is for this host, by any of its names.
func proxyOf(req *http.Request) (*url.URL, error) {
	if req.URL.Scheme != "https" {
		return nil, nil
	}
	return http.ProxyFromEnvironment(req)
}
