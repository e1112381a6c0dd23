package config

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
)

func (l *loader) validateVault(v *Vault) {
	l.validateAddress(v)
	l.segments("vault.namespace", &v.Namespace, optional)
	l.segments("vault.mount", &v.Mount, required)
	l.segments("vault.prefix", &v.Prefix, required)
	l.segment("vault.leaf", &v.Leaf)
	l.segments("vault.transit.mount", &v.Transit.Mount, required)
	l.segment("vault.transit.key", &v.Transit.Key)
	if v.Mount != "" && v.Mount == v.Transit.Mount {
		l.report("vault.transit.mount", "%q is vault.mount as well: the KV and the Transit engine have a mount each", v.Mount)
	}
}

func (l *loader) validateAddress(v *Vault) {
	const key = "vault.address"
	if v.Address == "" {
		l.report(key, "not set: give Vault's URL here or in VAULT_ADDR, such as https://vault.example.com:8200")
		return
	}
	u, err := parseURL(v.Address)
	if err != nil {
		l.report(key, "%v", err)
		return
	}
	if err := checkPrefix(u); err != nil {
		l.report(key, "%v", err)
		return
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		l.report(key, "plain http to %s would show the token and the master key to the network: use https (http is for loopback)", u.Hostname())
		return
	}
	if u.Scheme == "http" && v.Auth.Method == AuthCert {
		l.report(key, "method cert logs in with a TLS certificate: use https")
	}
	v.Address = u.String()
}

// checkPrefix allows a path, because Vault may be behind a proxy, but not one copied
// from an API call or from the web interface.
func checkPrefix(u *url.URL) error {
	segments := strings.Split(u.Path, "/")
	for i, segment := range segments {
		if segment == "v1" || segment == "ui" {
			base := url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.Join(segments[:i], "/")}
			return fmt.Errorf("/%s and what follows are added by the program: write %s", segment, base.String())
		}
	}
	if u.Path != "" && path.Clean(u.Path) != u.Path {
		return errors.New("the path has an empty part, . or ..: remove it")
	}
	return nil
}

// segments checks a path in Vault and removes its outer slashes.
func (l *loader) segments(key string, value *string, need need) {
	clean := strings.TrimSpace(strings.Trim(*value, "/"))
	if clean == "" {
		if need == required {
			l.report(key, "empty: give the path as `vault secrets list` or `vault kv list` shows it")
		}
		*value = ""
		return
	}
	for segment := range strings.SplitSeq(clean, "/") {
		if segment == "" {
			l.report(key, "nothing between two slashes")
			return
		}
		if err := checkSegment(segment); err != nil {
			l.report(key, "%v", err)
			return
		}
	}
	*value = clean
}

func (l *loader) segment(key string, name *string) {
	if *name == "" || strings.Contains(*name, "/") {
		l.report(key, "one name, without slashes, is needed here")
		return
	}
	if err := checkSegment(*name); err != nil {
		l.report(key, "%v", err)
	}
}

// checkSegment refuses what Vault's client would join into another path, what a policy
// reads as a wildcard or template, and what would end the string in the policy that is
// printed for this configuration.
func checkSegment(segment string) error {
	if segment == "." || segment == ".." {
		return fmt.Errorf("%q would lead to another path", segment)
	}
	for _, r := range segment {
		if r <= ' ' || r > '~' || strings.ContainsRune("+*%?#\\\"'`{}", r) {
			return fmt.Errorf("%q may not be in a path; letters, digits and -_.:@=~ are safe", r)
		}
	}
	return nil
}
