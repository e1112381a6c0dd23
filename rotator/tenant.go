package rotator

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// TenantID names a tenant: a UUID version 4 in the spelling that Vault stores,
// because that spelling is part of the key derivation.
type TenantID string

// ParseTenantID accepts a UUID v4 (RFC 9562), hex digits of either case. It keeps names
// such as "../x", which Vault's client would join into another path, out of requests.
func ParseTenantID(name string) (TenantID, error) {
	if _, ok := ParseUUID(strings.ToLower(name)); !ok {
		return "", fmt.Errorf("%q is not a tenant id (a UUID version 4)", name)
	}
	return TenantID(name), nil
}

// NewTenantID is the n-th id, from 0, for a user's new tenant. It is derived from the
// address, so that check-and-set gives it to one of two processes that add the user.
func NewTenantID(user Address, n int) TenantID {
	sum := sha256.Sum256(fmt.Appendf(nil, "mailu-rotator tenant %d %s", n, user))
	id := UUID(sum[:])
	id[6] = id[6]&0x0f | 0x40 // version 4
	id[8] = id[8]&0x3f | 0x80 // variant of RFC 9562
	return TenantID(id.String())
}

// UUID is the 16 bytes of a tenant id.
type UUID [16]byte

// ParseUUID returns false for any name that [UUID.String] would not restore exactly.
func ParseUUID(name string) (id UUID, ok bool) {
	digits, err := hex.DecodeString(strings.ReplaceAll(name, "-", ""))
	if err != nil || len(digits) != len(id) {
		return id, false
	}
	id = UUID(digits)
	return id, id[6]>>4 == 4 && id[8]>>6 == 2 && id.String() == name
}

// String is the usual spelling.
func (id UUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// Origin is the scheme, host and port of a Mailu server in one spelling: lower
// case, no default port, no final slash.
type Origin string

// ParseOrigin returns the origin of an http or https URL (RFC 6454); it ignores path,
// query and fragment. It refuses URLs with credentials.
func ParseOrigin(raw string) (Origin, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", fmt.Errorf("not a URL: %.100q", withoutCredentials(raw))
	}
	scheme, host, port := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()
	switch {
	case scheme != "https" && scheme != "http":
		return "", fmt.Errorf("not an http or https URL: %.100q", withoutCredentials(raw))
	case u.User != nil:
		return "", fmt.Errorf("URL for host %.100q carries credentials", host)
	case host == "" || u.Opaque != "" || strings.HasSuffix(u.Host, ":"):
		return "", fmt.Errorf("URL without a proper host: %.100q", raw)
	case strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`\/?#@%<>"`, r) }):
		return "", fmt.Errorf("URL with an improper host: %.100q", raw)
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]" // IPv6
	}
	if port != "" && !(scheme == "https" && port == "443") && !(scheme == "http" && port == "80") {
		host += ":" + port
	}
	return Origin(scheme + "://" + host), nil
}

// Host identifies a server: host and port in one spelling, without the ports 80 and 443,
// which belong to one server, and a final dot. All names of the loopback are equal.
func (o Origin) Host() string {
	u, err := url.Parse(string(o))
	if err != nil {
		return string(o)
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if addr, err := netip.ParseAddr(host); err == nil {
		host = addr.Unmap().String()
	}
	if host == "127.0.0.1" || host == "::1" {
		host = "localhost"
	}
	port := strings.TrimLeft(u.Port(), "0")
	if port == "" || port == "80" || port == "443" {
		return host
	}
	return net.JoinHostPort(host, port)
}

// withoutCredentials is the part of a refused URL that may be shown.
func withoutCredentials(raw string) string {
	if at := strings.LastIndex(raw, "@"); at >= 0 {
		return "…" + raw[at:]
	}
	return raw
}

// Plain reports whether the origin is accessed without TLS.
func (o Origin) Plain() bool { return strings.HasPrefix(string(o), "http://") }
