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
	"sync/atomic"
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
