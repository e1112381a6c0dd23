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
	"mailu-rotator/rotator"
)

const (
	maxConns     = 64
	maxHeader    = 16 << 10
	shutdownTime = 5 * time.Second
	minRetry     = time.Second
	maxRetry     = 10 * time.Minute
)

// Listen says where to listen and what to show to whom.
type Listen struct {
	Network string // "tcp" or "unix"; empty: do not listen
	Address string
	// Token is what callers must show. Without one a TCP address must be one of
	// loopback; the caller sees to that. It may be wiped once it was handed over.
	Token crypto.Secret
	PProf bool // adds Go's profiles
}

// Options are what a [Server] shows, and whom it tells. All but Page are
// required. The functions may be called concurrently and must not block.
type Options struct {
	Metrics *Metrics
	Health  *Health
	Board   *rotator.Board
	Page    http.Handler // what is at /; nil: a list of the other pages
	// Listening is told where; with port 0 it is the only way to know.
	Listening func(address net.Addr)
	// Failing is told why there is no listener, and when it is tried again.
	Failing func(err error, wait time.Duration)
	// Complain is told what goes wrong with single requests.
	Complain func(err error)
}

// Server is the daemon's HTTP listener. A port that is taken, or a socket that
// cannot be made, is tried again: it must not cost a rotation.
type Server struct {
	Options
	current atomic.Pointer[service]
	renewed chan struct{} // holds one token while a reload is unseen
}

// service is what a reload replaces.
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

// Reload applies other settings: to the next request, and where the address has
// changed by listening there instead.
func (s *Server) Reload(l Listen) {
	s.current.Store(s.serviceOf(l))
	select {
	case s.renewed <- struct{}{}:
	default: // one unseen reload is enough: the newest settings are found
	}
}

// digestOf makes tokens of all lengths alike, and keeps none of them. It is nil
// where there is no token.
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

// sleep ends early when ctx does or the settings are renewed.
func (s *Server) sleep(ctx context.Context, length time.Duration) {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-s.renewed:
	case <-timer.C:
	}
}

// serve ends when ctx does, when the address is another one, or with the error
// of a listener that broke.
func (s *Server) serve(ctx context.Context, at *service, listener net.Listener) error {
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.current.Load().handler.ServeHTTP(w, r) }),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(complaints(s.Complain), "", 0),
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
		_ = server.Close() // whoever still reads is cut off
	}
}

// complaints is what http.Server logs to.
type complaints func(error)

// Write implements io.Writer for lines.
func (c complaints) Write(line []byte) (int, error) {
	c(errors.New(string(bytes.TrimSpace(line))))
	return len(line), nil
}
