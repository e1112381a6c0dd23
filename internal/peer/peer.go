// Package peer has what several packages need to know about the other end of a connection:
// whether it is this machine, who may sign its certificate, how long it wants to be left
// alone. It knows neither Vault nor Mailu.
package peer

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// IsLoopback reports whether packets to a host, given without a port, stay on this
// machine. A name server decides where names other than localhost lead (RFC 6761); zones
// of loopback addresses depend on the system.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Zone() == "" && address.Unmap().IsLoopback()
}

// Authorities reads those that a PEM file holds; without a file it returns nil, which
// means the system's.
func Authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return authorities, nil
}

// maxRetryAfter is as long as a server can ask for. Mailu blocks an address that long.
const maxRetryAfter = time.Hour

// RetryAfter reads the header of that name, seconds or an HTTP date (RFC 9110, section
// 10.2.3): from 0 to an hour. given is false without either.
func RetryAfter(h http.Header) (after time.Duration, given bool) {
	value := strings.TrimSpace(h.Get("Retry-After"))
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) { // which has the nearest number
		return time.Duration(min(max(seconds, 0), int64(maxRetryAfter/time.Second))) * time.Second, true
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return min(max(time.Until(date), 0), maxRetryAfter), true
}
