// Package monitor serves a running daemon's state over HTTP: metrics for Prometheus,
// probes for Kubernetes and similar systems, Go's profiles, and the status page.
//
// Its data come from the callbacks of a run ([rotator.Observer], durations of steps, the
// request hooks of the Vault and Mailu clients) and from a [status.Cache]. It sends no
// request and changes nothing, so a scrape costs neither Vault nor Mailu anything, and
// a listener that fails costs no rotation.
//
// Metrics are in their own registry, in base units, with labels of bounded cardinality:
// servers, steps, outcomes; tenants only if enabled. Series that are known in advance
// start at 0, so that rate() sees the first increase. docs/metrics.md lists each of
// them; a test compares.
//
// The only secret that reaches this package is the listener's token, of which it keeps
// a digest. It imports neither vault, nor mailu, nor config.
package monitor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/netutil"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator/status"
)

const (
	maxConns     = 64
	maxHeader    = 16 << 10
	shutdownTime = 5 * time.Second
	minRetry     = time.Second
	maxRetry     = 10 * time.Minute
)

// Listen says where to listen and which token to require.
type Listen struct {
	Network string // "tcp" or "unix"; empty: do not listen
	Address string
	// Token is what callers must present. Without one a TCP address must be loopback;
	// the caller checks that. The caller may wipe it after the call.
	Token crypto.Secret
	PProf bool // adds Go's profiles
}

// Options are what a [Server] serves, and its callbacks. All but Page are required. The
// functions may be called concurrently and must not block.
type Options struct {
	Metrics *Metrics
	Health  *Health
	Cache   *status.Cache
	Page    http.Handler // at /; nil: a list of the other pages
	// Listening receives the address; with port 0 it is the only way to know it.
	Listening func(address net.Addr)
	// Failing receives the error when there is no listener, and the time until the next
	// try.
	Failing func(err error, wait time.Duration)
	// ErrorLog receives errors of single requests.
	ErrorLog func(err error)
}

// Server is the daemon's HTTP listener. If a port is taken or a socket cannot be made,
// it tries again: this must not cost a rotation.
type Server struct {
	Options
	current atomic.Pointer[service]
	renewed chan struct{} // holds one value while a reload is unhandled
}

// service is the part that a reload replaces.
type service struct {
	network, address string
	handler          http.Handler
}

// NewServer returns a server that does not listen yet.
func NewServer(o Options, l Listen) *Server {
	s := &Server{Options: o, renewed: make(chan struct{}, 1)}
	s.current.Store(s.serviceOf(l))
	return s
}

func (s *Server) serviceOf(l Listen) *service {
	return &service{network: l.Network, address: l.Address, handler: s.routes(l, digestOf(l.Token))}
}

// Reload applies new settings: to the next request, and if the address has changed by
// listening there instead.
func (s *Server) Reload(l Listen) {
	s.current.Store(s.serviceOf(l))
	select {
	case s.renewed <- struct{}{}:
	default: // a signal is already pending; it uses the newest settings
	}
}

// digestOf hides the token's length and does not keep the token. It returns nil if
// there is no token.
func digestOf(token crypto.Secret) []byte {
	if token.Empty() {
		return nil
	}
	digest := sha256.Sum256(token.Reveal())
	return digest[:]
}

// Run listens until ctx ends, and returns when every request has ended.
func (s *Server) Run(ctx context.Context) {
	wait := minRetry
	for ctx.Err() == nil {
		at := s.current.Load()
		if at.network == "" {
			s.sleep(ctx, maxRetry)
			continue
		}
		listener, err := listen(ctx, at.network, at.address)
		if err == nil {
			wait = minRetry
			s.Listening(listener.Addr())
			err = s.serve(ctx, at, netutil.LimitListener(listener, maxConns))
		}
		if err != nil {
			s.Failing(fmt.Errorf("listen on %s: %w", at.address, err), wait)
			s.sleep(ctx, wait)
			wait = min(2*wait, maxRetry)
		}
	}
}

// sleep returns early when ctx ends or the settings change.
func (s *Server) sleep(ctx context.Context, length time.Duration) {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-s.renewed:
	case <-timer.C:
	}
}

// serve returns when ctx ends, when the address changes, or with the error of a broken
// listener.
func (s *Server) serve(ctx context.Context, at *service, listener net.Listener) error {
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.current.Load().handler.ServeHTTP(w, r) }),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(complaints(s.ErrorLog), "", 0),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	for {
		select {
		case err := <-ended:
			return err
		case <-s.renewed:
			if next := s.current.Load(); next.network == at.network && next.address == at.address {
				continue
			}
		case <-ctx.Done():
		}
		shutDown(server)
		<-ended
		return nil
	}
}

func shutDown(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		_ = server.Close() // drops clients that still read
	}
}

// complaints receives the log lines of http.Server.
type complaints func(error)

// Write implements io.Writer; each call is one log line.
func (c complaints) Write(line []byte) (int, error) {
	c(errors.New(string(bytes.TrimSpace(line))))
	return len(line), nil
}

// socketMode lets the service's user and group connect, whatever the umask.
const socketMode = 0o660

func listen(ctx context.Context, network, address string) (net.Listener, error) {
	var config net.ListenConfig
	if network == "unix" {
		return listenUnix(ctx, config, address)
	}
	listener, err := config.Listen(ctx, network, address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%w: another program has it, maybe another mailu-rotator: set listen.address", reasonOf(err))
	}
	return listener, reasonOf(err)
}

// listenUnix replaces a socket on which nobody listens, which a killed process leaves
// behind, and nothing else.
func listenUnix(ctx context.Context, config net.ListenConfig, path string) (net.Listener, error) {
	listener, err := config.Listen(ctx, "unix", path)
	if errors.Is(err, syscall.EADDRINUSE) && abandoned(ctx, path) {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
		listener, err = config.Listen(ctx, "unix", path)
	}
	if err != nil {
		return nil, reasonOf(err)
	}
	if err := os.Chmod(path, socketMode); err != nil {
		_ = listener.Close() // report the error about the mode, not this one
		return nil, err
	}
	return listener, nil
}

func abandoned(ctx context.Context, path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// reasonOf strips the address that net.OpError repeats.
func reasonOf(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}
