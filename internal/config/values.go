package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	"mailu-rotator/rotator"
)

func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%.40q is not a duration: write a number with its unit (ms, s, m, h), such as 90s or 1h30m", text)
	}
	return d, nil
}

func parseLocation(text string) (*time.Location, error) {
	if text == "" {
		return nil, errors.New("empty; write UTC, Local or a name such as Europe/Berlin")
	}
	location, err := time.LoadLocation(text)
	if err != nil {
		return nil, fmt.Errorf("%.40q is not a time zone known here: write UTC, Local or a name such as Europe/Berlin, and see that the tz database is installed", text)
	}
	return location, nil
}

func parseOrigin(text string) (rotator.Origin, error) {
	// ParseOrigin's errors repeat the input, which may include a password.
	if strings.Contains(text, "@") {
		return "", errors.New("a URL with \"@\" in it carries credentials: remove them")
	}
	return rotator.ParseOrigin(text)
}

// parseURL accepts an absolute http or https URL and removes trailing slashes. Its
// errors do not repeat the URL, which may contain a password.
func parseURL(raw string) (*url.URL, error) { return parseURLOf(raw, "https", "http") }

// parseURLOf is parseURL for two schemes, of which the first one is encrypted.
func parseURLOf(raw, secure, plain string) (*url.URL, error) {
	if strings.ContainsFunc(raw, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return nil, errors.New("white space or an invisible character in the URL: remove it")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Opaque != "" || strings.HasSuffix(u.Host, ":"):
		return nil, fmt.Errorf("not a URL such as %s://host.example.com", secure)
	case u.User != nil:
		return nil, errors.New("the URL carries credentials: remove them")
	case u.Scheme != secure && u.Scheme != plain:
		return nil, fmt.Errorf("not a URL that begins with %s:// (or %s://)", secure, plain)
	case u.Hostname() == "":
		return nil, errors.New("a URL without a host")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("a URL with a query or fragment: remove what follows ? or #")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, errors.New("the port is not a number from 1 to 65535")
		}
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	return u, nil
}

// parseAddress reads Vault's URL. It allows a path, because Vault may be behind a proxy,
// but not one copied from an API call or from the web interface.
func parseAddress(raw string) (*url.URL, error) {
	u, err := parseURL(raw)
	if err != nil {
		return nil, err
	}
	segments := strings.Split(u.Path, "/")
	for i, segment := range segments {
		if segment == "v1" || segment == "ui" {
			base := url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.Join(segments[:i], "/")}
			return nil, fmt.Errorf("/%s and what follows are added by the program: write %s", segment, base.String())
		}
	}
	if u.Path != "" && path.Clean(u.Path) != u.Path {
		return nil, errors.New("the path has an empty part, . or ..: remove it")
	}
	return u, nil
}

// parsePath reads a path in Vault and removes its outer slashes.
func parsePath(value string) (string, error) {
	folder, err := parseFolder(value)
	if folder == "" {
		return "", errors.New("empty: give the path as `vault secrets list` or `vault kv list` shows it")
	}
	return folder, err
}

// parseFolder is parsePath for a path that may be empty.
func parseFolder(value string) (string, error) {
	clean := strings.TrimSpace(strings.Trim(value, "/"))
	if clean == "" {
		return "", nil
	}
	for segment := range strings.SplitSeq(clean, "/") {
		if segment == "" {
			return value, errors.New("nothing between two slashes")
		}
		if err := checkSegment(segment); err != nil {
			return value, err
		}
	}
	return clean, nil
}

// parseName reads a single segment of a path in Vault.
func parseName(value string) (string, error) {
	if value == "" || strings.Contains(value, "/") {
		return value, errors.New("one name, without slashes, is needed here")
	}
	return value, checkSegment(value)
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

// unixPrefix marks an address that is a path.
const unixPrefix = "unix:"

// maxSocketPath is one less than what sockaddr_un holds on Linux (unix(7)).
const maxSocketPath = 107

// Endpoint returns the address in the form that net.Listen takes; network is empty if
// the daemon does not listen.
func (l Listen) Endpoint() (network, address string) {
	if path, isSocket := strings.CutPrefix(l.Address, unixPrefix); isSocket {
		return "unix", path
	}
	if l.Address == "" {
		return "", ""
	}
	return "tcp", l.Address
}

// checkEndpoint returns the host of a TCP address.
func checkEndpoint(network, address string) (host string, err error) {
	switch {
	case network == "unix" && (!filepath.IsAbs(address) || len(address) > maxSocketPath || strings.ContainsRune(address, 0)):
		return "", errors.New("a socket needs an absolute path of at most 107 bytes, such as unix:/run/mailu-rotator/http.sock")
	case network != "tcp":
		return "", nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", errors.New("not like 127.0.0.1:9180, [::1]:9180 or unix:/run/mailu-rotator/http.sock")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", errors.New("the port is not a number from 0 to 65535")
	}
	return host, nil
}
