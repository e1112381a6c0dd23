package mailu

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// endpoint is a checked entry with the state that outlives a run: connections and
// limits.
type endpoint struct {
	config    ServerConfig
	options   Options
	api       string // without a final slash
	host      string // of api, by [rotator.Origin.Host]: http and https of one name are one Mailu
	transport http.RoundTripper
	limiter   *limiter
}

// limiter bounds the number of concurrent requests to an API host, and of tenants between
// their push and its verification. Without the second limit a verification would queue
// behind the pushes of others, and every tenant would spend seconds with a password in
// Mailu that is not yet current in Vault. Entries with one API host share the smallest of
// their limits: a Mailu that serves several webmail names is still one process.
type limiter struct {
	*semaphore.Weighted
	size   int
	pushes *semaphore.Weighted
	alone  *semaphore.Weighted // held by the one request that tests a token
}

func newLimiter(size int) *limiter {
	n := int64(size)
	return &limiter{Weighted: semaphore.NewWeighted(n), size: size, pushes: semaphore.NewWeighted(n), alone: semaphore.NewWeighted(1)}
}

func newEndpoint(c ServerConfig, o Options) (*endpoint, []error) {
	api, host, err := checkAddresses(c)
	roots, rootsErr := readRoots(c.CAFile)
	wrong := []error{err, checkToken(c.Token), rootsErr}
	if c.MaxConcurrent < 1 {
		wrong = append(wrong, fmt.Errorf("max_concurrent is %d: set it to 1 or more", c.MaxConcurrent))
	}
	if c.Timeout <= 0 {
		wrong = append(wrong, fmt.Errorf("timeout is %s: set it above zero", c.Timeout))
	}
	if c.Verify != "" && c.Verify != VerifyHash && c.Verify != VerifyNone {
		wrong = append(wrong, fmt.Errorf("verify is %q: set it to %s or %s", bounded(string(c.Verify)), VerifyHash, VerifyNone))
	}
	if wrong = slices.DeleteFunc(wrong, func(err error) bool { return err == nil }); len(wrong) > 0 {
		return nil, wrong
	}
	e := &endpoint{config: c, options: o, api: api, host: host, transport: o.transport}
	if e.transport == nil {
		e.transport = newTransport(c, roots)
	}
	return e, nil
}

// newTransport speaks HTTP/1.1 over as many kept connections as the server may have
// concurrent requests. It uses no proxy: one from the environment would receive the
// token of every plain http server, and no entry asked for it.
func newTransport(c ServerConfig, roots *x509.CertPool) *http.Transport {
	var http1 http.Protocols
	http1.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            (&net.Dialer{Timeout: c.Timeout}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    c.Timeout,
		Protocols:              &http1,
		MaxIdleConnsPerHost:    c.MaxConcurrent,
		IdleConnTimeout:        30 * time.Second, // below nginx's 65 s, so that a push seldom meets a closing connection
		MaxResponseHeaderBytes: maxBody,
		DisableCompression:     true, // a compression bomb would be counted only after unpacking
	}
}

func checkAddresses(c ServerConfig) (api, host string, err error) {
	origin, err := rotator.ParseOrigin(string(c.Origin))
	if err != nil {
		return "", "", fmt.Errorf("origin: %w", err)
	}
	if origin != c.Origin {
		return "", "", fmt.Errorf("origin: write it as %q", origin)
	}
	address := cmp.Or(c.APIURL, string(origin)+"/api/v1")
	base, err := rotator.ParseOrigin(address)
	if err != nil {
		return "", "", fmt.Errorf("api_url: %w", err)
	}
	u, err := url.Parse(address)
	if err != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return "", "", errors.New("api_url: it must be scheme, host and path only")
	}
	if err := cmp.Or(checkPlain("origin", origin, c.AllowHTTP), checkPlain("api_url", base, c.AllowHTTP)); err != nil {
		return "", "", err
	}
	return string(base) + strings.TrimRight(u.EscapedPath(), "/"), base.Host(), nil
}

func checkPlain(field string, o rotator.Origin, allowed bool) error {
	if !o.Plain() || allowed || isLoopback(o) {
		return nil
	}
	return fmt.Errorf("%s: plain http would send the token and passwords unencrypted: use https, or set allow_http", field)
}

// isLoopback trusts addresses and the one name that RFC 6761 reserves; a resolver
// decides about any other name.
func isLoopback(o rotator.Origin) bool {
	u, err := url.Parse(string(o))
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}

func checkToken(token crypto.Secret) error {
	switch {
	case token.Empty():
		return errors.New("token is empty: give Mailu's API_TOKEN")
	case bytes.ContainsFunc(token.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("token is not fit for a header: only printable ASCII without spaces or line ends")
	}
	return nil
}

func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil // the system's
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file: no PEM certificate in %s", file)
	}
	return roots, nil
}
