package config

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// parseURL accepts an absolute http or https URL and removes trailing slashes. Its
// errors do not repeat the URL, which may contain a password.
func parseURL(raw string) (*url.URL, error) {
	if strings.ContainsFunc(raw, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return nil, errors.New("white space or an invisible character in the URL: remove it")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Opaque != "" || strings.HasSuffix(u.Host, ":"):
		return nil, errors.New("not a URL such as https://host.example.com")
	case u.User != nil:
		return nil, errors.New("the URL carries credentials: remove them")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("not a URL that begins with https:// (or http://)")
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

// isLoopback reports whether packets to host stay on this machine. A name server
// decides where names other than localhost lead; zones of loopback addresses depend on
// the system.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Zone() == "" && address.Unmap().IsLoopback()
}
