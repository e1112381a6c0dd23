// Package mailu is the rotator's client for Mailu's admin API: [Servers] is a
// [rotator.Mailu], [Server] a [rotator.Server]. It sends four kinds of request, the last
// two only for a tenant that is being added:
//
//	PATCH {api}/user/{email}  {"raw_password": …}  push
//	GET   {api}/user/{email}                       look up; the hash, for the proof; the check
//	GET   {api}/domain/{domain}                    look up, before
//	POST  {api}/user          {"email": …, …}      create
//
// A [Login] names mail services at which proven passwords are tried, as mail programs do.
//
// It promises, whatever a server answers:
//
//   - The token is sent to the API URLs of the configuration and nowhere else: it
//     follows no redirect and uses no proxy.
//   - It reports "refused" only if no request of the call can have changed the
//     password, which only Mailu's own messages show. Everything else that is not
//     a clear success is ambiguous.
//   - Until a run has seen the token accepted, it sends one request at a time to
//     the API's host, and after one refusal of a token none, because five block
//     the sender's network for an hour.
//   - A refusal by a firewall or a proxy counts for one request only, until three
//     users in a row get such an answer.
//   - It sends a server at most as many concurrent requests as its entry allows,
//     since the process that hashes passwords also answers every mail login.
//   - A password goes to a mail service only over TLS with a checked certificate, and
//     after one refusal to no other.
//   - An answer costs bounded memory, time and hashing, and reaches an error only
//     without control characters, passwords and tokens.
//
// The facts about Mailu come from its source (core/admin/mailu/api) and from a real
// admin, release 2024.06; the hash format is passlib's bcrypt_sha256. The package
// imports rotator, crypto, internal/netfault, internal/peer and internal/text, and never logs.
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
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"mailu-rotator/crypto"
	"mailu-rotator/internal/peer"
	"mailu-rotator/rotator"
)

// Verify says how a push to a server is verified.
type Verify string

const (
	// VerifyHash reads the user's hash back and checks the password against it.
	VerifyHash Verify = "hash"
	// VerifyNone sends no request: every proof is [rotator.Unproven].
	VerifyNone Verify = "none"
)

// ServerConfig is one entry of the configuration: a Mailu server to which its token may
// be sent.
type ServerConfig struct {
	Origin        rotator.Origin // of the tenants' webmail_url
	APIURL        string         // default: Origin + "/api/v1"
	Token         crypto.Secret  // Mailu's API_TOKEN: printable ASCII without spaces; [Servers.Close] wipes it
	Unusable      error          // why there is no token; nil if there is one
	CAFile        string         // PEM roots to trust instead of the system's; "" is the system's
	AllowHTTP     bool           // plain http to a host other than loopback
	MaxConcurrent int            // requests at a time, >= 1
	Timeout       time.Duration  // of one request with its answer, > 0; waiting for a turn does not count
	Verify        Verify         // "" is VerifyHash
	Login         Login          // mail services to log in to with proven passwords
}

// Options are common to all servers. The zero value is ready to use, and a negative
// duration counts as zero.
type Options struct {
	RetryWait    time.Duration // before the first retry, doubled before the second; 0 is 500 ms
	MaxRetryWait time.Duration // longest wait between tries, including a server's Retry-After; 0 is 5 s
	UserAgent    string        // "" is "mailu-rotator"
	// OnRequest, if set, is called after every try of an HTTP request with its origin,
	// its method, the status or 0 if no answer came, and the time for the whole answer.
	// It may be called concurrently and must not block.
	OnRequest func(origin rotator.Origin, method string, status int, took time.Duration)

	transport http.RoundTripper // replaces the network in tests that control the clock
}

func (o Options) withDefaults() Options {
	o.RetryWait = cmp.Or(max(o.RetryWait, 0), 500*time.Millisecond)
	o.MaxRetryWait = cmp.Or(max(o.MaxRetryWait, 0), 5*time.Second)
	o.UserAgent = cmp.Or(o.UserAgent, "mailu-rotator")
	if o.OnRequest == nil {
		o.OnRequest = func(rotator.Origin, string, int, time.Duration) {}
	}
	return o
}

// Servers finds the server of an origin. It belongs to one run: a server whose token
// was refused stays closed in it. Its methods are safe for concurrent use.
type Servers struct {
	endpoints map[rotator.Origin]*endpoint
	unusable  map[rotator.Origin]ServerConfig
	states    map[string]*hostState // by API host, which counts the wrong tokens of all its entries together
}

// New checks every entry and returns all their errors in one, a line each. It reads CA
// files and opens no connection. An unusable entry is no error: it is excluded from the
// run, and the others are not.
func New(configs []ServerConfig, options Options) (*Servers, error) {
	options = options.withDefaults()
	var problems []error
	endpoints := make(map[rotator.Origin]*endpoint, len(configs))
	limiters := make(map[string]*limiter, len(configs)) // by API host
	unusable := map[rotator.Origin]ServerConfig{}
	for _, config := range configs {
		if config.Unusable != nil {
			unusable[config.Origin] = config
			continue
		}
		e, wrong := newEndpoint(config, options)
		if _, twice := endpoints[config.Origin]; twice {
			wrong = append(wrong, errors.New("listed twice: remove one of the entries"))
		}
		for _, err := range wrong {
			problems = append(problems, fmt.Errorf("mailu server %q: %w", bounded(string(config.Origin)), err))
		}
		endpoints[config.Origin] = e // nil if refused, to detect duplicates
		if e == nil {
			continue
		}
		if l := limiters[e.host]; l == nil || config.MaxConcurrent < l.size {
			limiters[e.host] = newLimiter(config.MaxConcurrent)
		}
	}
	if err := errors.Join(problems...); err != nil {
		for _, config := range configs {
			config.Token.Wipe()
		}
		return nil, err
	}
	states := make(map[string]*hostState, len(endpoints))
	for _, e := range endpoints {
		e.limiter, states[e.host] = limiters[e.host], new(hostState)
	}
	return &Servers{endpoints: endpoints, unusable: unusable, states: states}, nil
}

// Server implements [rotator.Mailu]. The value has type [*Server].
func (s *Servers) Server(origin rotator.Origin) (rotator.Server, error) {
	server, err := s.server(origin)
	if err != nil {
		return nil, err
	}
	return server, nil
}

// API implements [rotator.Mailu]: it returns the host of the entry's api_url. Paths are
// ignored: a configuration cannot claim that one host has two Mailus. It also answers for
// an unusable server, because its users still exist.
func (s *Servers) API(origin rotator.Origin) string {
	if e, listed := s.endpoints[origin]; listed {
		return e.host
	}
	if api, err := rotator.ParseOrigin(s.unusable[origin].APIURL); err == nil {
		return api.Host()
	}
	return origin.Host()
}

func (s *Servers) server(origin rotator.Origin) (*Server, error) {
	if err := s.unusable[origin].Unusable; err != nil {
		return nil, err
	}
	e, listed := s.endpoints[origin]
	if !listed {
		return nil, fmt.Errorf("mailu server %q: %w: list the server with its token, or correct webmail_url in Vault",
			bounded(string(origin)), rotator.ErrOriginNotListed)
	}
	return &Server{endpoint: e, state: s.states[e.host]}, nil
}

// Close drops idle connections and wipes the tokens. The run's requests must have ended.
func (s *Servers) Close() {
	for _, e := range s.endpoints {
		if t, ok := e.transport.(*http.Transport); ok {
			t.CloseIdleConnections()
		}
		e.config.Token.Wipe()
	}
}

// endpoint is a checked entry with the state that outlives a run: connections and
// limits.
type endpoint struct {
	config    ServerConfig
	options   Options
	api       string // without a final slash
	host      string // of api, by [rotator.Origin.Host]: http and https of one name are one Mailu
	transport http.RoundTripper
	roots     *x509.CertPool // nil: the system's
	services  []mailService
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
	roots, rootsErr := peer.Authorities(c.CAFile)
	if rootsErr != nil {
		rootsErr = fmt.Errorf("ca_file: %w", rootsErr)
	}
	services, servicesErr := mailServices(c.Login)
	wrong := []error{err, checkToken(c.Token), rootsErr, servicesErr}
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
	e := &endpoint{config: c, options: o, api: api, host: host, transport: o.transport, roots: roots, services: services}
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
	u, err := url.Parse(string(o))
	if !o.Plain() || allowed || err == nil && peer.IsLoopback(u.Hostname()) {
		return nil
	}
	return fmt.Errorf("%s: plain http would send the token and passwords unencrypted: use https, or set allow_http", field)
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
