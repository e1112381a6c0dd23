// Package faultproxy puts a faulty network between a client and a real HTTP server: it
// forwards everything, records what arrived, and breaks the requests that a test
// selects, in the ways that networks and servers do.
//
// It listens on loopback, speaks plain HTTP/1.1 to its client and either scheme
// to the server, and keeps neither headers nor bodies, which carry secrets.
//
// Link does less for any TCP server: it can be cut.
package faultproxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"time"
)

// maxBody limits the buffered part of one request; Vault refuses more than 32 MiB.
const maxBody = 32 << 20

// Request is one request as it arrived, whatever happened to it.
type Request struct {
	Method string
	Path   string // as sent, still escaped, without the query
}

// Proxy forwards to one server. All methods may be called at any time, from
// any goroutine.
type Proxy struct {
	URL string // given to the client under test, http://127.0.0.1:port

	server  *http.Server
	ctx     context.Context // ends with Close; hanging and late requests end with it
	cancel  context.CancelFunc
	forward *httputil.ReverseProxy

	lateEnded *sync.Cond // on mu

	mu       sync.Mutex // guards the fields below
	faults   []*Fault
	requests []Request
	late     int // effects still to come
}

// NewProxy starts a proxy for the server at target, an http or https origin.
func NewProxy(target string) (*Proxy, error) { return NewProxyTrusting(target, nil) }

// NewProxyTrusting is NewProxy for a server with a certificate of these authorities; nil
// means those of the system.
func NewProxyTrusting(target string, roots *x509.CertPool) (*Proxy, error) {
	to, err := url.Parse(target)
	if err != nil || to.Host == "" {
		return nil, fmt.Errorf("proxy target %q: want an origin such as http://127.0.0.1:8200", target)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the proxy: %w", err)
	}
	p := &Proxy{URL: "http://" + listener.Addr().String()}
	p.lateEnded = sync.NewCond(&p.mu)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		// One connection per request: requests must not reach a restarted server
		// through a connection to its predecessor.
		Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
		// A dead server looks dead through the proxy too, not like a 502.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { reset(w) },
	}
	p.server = &http.Server{
		Handler:     http.HandlerFunc(p.serve),
		BaseContext: func(net.Listener) context.Context { return p.ctx },
	}
	go func() { _ = p.server.Serve(listener) }() // ends with Close, which reports any error
	return p, nil
}

// Inject adds a fault. A request meets the first injected fault that matches it and is
// not used up, and no other. withdraw removes the fault if it is still present.
func (p *Proxy) Inject(f Fault) (withdraw func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &f)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.faults = slices.DeleteFunc(p.faults, func(other *Fault) bool { return other == &f })
	}
}

// Clear removes all faults. Hanging or delayed requests stay so, and late effects still
// happen.
func (p *Proxy) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// Settle returns when the late effects of all faults so far have happened.
func (p *Proxy) Settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.late > 0 {
		p.lateEnded.Wait()
	}
}

// Requests returns everything that arrived so far, in order.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Request(nil), p.requests...)
}

// Count returns how many requests arrived with this method and path; an empty string
// matches any.
func (p *Proxy) Count(method, path string) int {
	n := 0
	for _, r := range p.Requests() {
		if (method == "" || r.Method == method) && (path == "" || r.Path == path) {
			n++
		}
	}
	return n
}

// Close stops the proxy, drops its connections, including hanging ones, and cancels
// late effects.
func (p *Proxy) Close() {
	p.cancel()
	p.server.Close()
	p.Settle()
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	// Read the whole body first: a fault may match on it, and the server notices that a
	// client has gone only after reading the body.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "faultproxy: "+err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	fault := p.arrived(r, body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	if fault == nil {
		p.forward.ServeHTTP(w, r)
		return
	}
	fault.apply(w, r, p.forward)
	if fault.Kind == LateEffect {
		p.forwardLate(r, fault.Delay)
	}
}

// forwardLate runs after the client has received its error.
func (p *Proxy) forwardLate(r *http.Request, delay time.Duration) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.late--
		p.lateEnded.Broadcast()
	}()
	select {
	case <-p.ctx.Done():
	case <-time.After(delay):
		p.forward.ServeHTTP(&discard{header: http.Header{}}, r.WithContext(p.ctx))
	}
}

// arrived records the request and returns its fault, if any.
func (p *Proxy) arrived(r *http.Request, body []byte) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, Request{Method: r.Method, Path: r.URL.EscapedPath()})
	for i, f := range p.faults {
		r.Body = io.NopCloser(bytes.NewReader(body))
		if f.Match != nil && !f.Match(r) {
			continue
		}
		met := *f
		if f.Kind == LateEffect {
			p.late++
		}
		if f.Times == 1 {
			p.faults = append(p.faults[:i:i], p.faults[i+1:]...)
		} else if f.Times > 1 {
			f.Times--
		}
		return &met
	}
	return nil
}
