// Package natstest runs real NATS servers with JetStream for tests and the demo: they
// start in a tenth of a second, on loopback, die with their parent, and can be killed,
// paused, stopped, restarted, emptied and cut off.
//
// Nothing is imitated and no server code is linked: the binary is Options.Binary or the
// one that test/devstack/nats.sh builds.
package natstest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"testing"
	"time"

	"mailu-rotator/test/authority"
	"mailu-rotator/test/child"
	"mailu-rotator/test/faultproxy"
)

// Options configure a server, or each server of a cluster.
type Options struct {
	// Binary is a nats-server; empty means the one that test/devstack/nats.sh builds.
	Binary string
	// Dir is where servers keep their configuration, certificates and stores, which
	// outlive the processes. Run and RunCluster take the test's temporary directory if
	// it is empty; the other functions need it.
	Dir string
	// TLS gives the listener a certificate of its own CA, see Server.CACert, and refuses
	// clients without one: see Server.ClientCert.
	TLS bool
	// Users may connect, and nobody else; none means everybody may.
	Users []User
	// Config is added to the generated configuration as it is.
	Config string
	// Log receives the servers' output, from all servers of a cluster at once; nil drops
	// it.
	Log io.Writer
}

// Server is one NATS process. Its methods are safe for concurrent use.
type Server struct {
	Name    string // n1, or n1 to n3 in a cluster
	Addr    string // for clients, 127.0.0.1:port; the same after Restart
	URL     string // nats://Addr, or tls://Addr with TLS
	Monitor string // its monitoring endpoints, http://127.0.0.1:port; the same after Restart
	CACert  string // PEM file of the CA behind Addr; empty without TLS

	opts      Options
	binary    string
	dir       string               // absolute, of this server alone
	ca        *authority.Authority // nil without TLS
	cert, key string               // PEM files of the listener
	monitor   string               // host:port of Monitor
	route     string               // host:port for the other servers of a cluster
	members   []*Server            // all servers of its cluster, or only itself

	mu      sync.Mutex // guards the field below
	process *child.Server
}

const (
	// startTimeout bounds a start whose context has no deadline. A loaded machine needs
	// a second; a server that hangs must not hang the test.
	startTimeout = time.Minute
	// stopPatience is how long a server may take to end in an orderly way.
	stopPatience = 10 * time.Second
)

// Start runs a server until Stop or Kill, or until this process ends. The context bounds
// the start, not the server's life.
func Start(ctx context.Context, o Options) (*Server, error) {
	servers, err := prepare(ctx, o, "n1")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := launch(ctx, servers); err != nil {
		return nil, err
	}
	return servers[0], nil
}

// Run starts a server for one test and stops it at the end of the test. On an error it
// fails the test; it never skips.
func Run(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatalf("start nats-server: %v", err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Kill ends the process immediately, like a crash, and waits until it is gone.
func (s *Server) Kill() { s.running().Kill() }

// Stop ends the process in an orderly way, or by force after ten seconds.
func (s *Server) Stop() { s.running().Stop(stopPatience) }

// Pause stops the process where it is, until Continue: connections stay open and nothing
// is answered.
func (s *Server) Pause() error { return s.running().Pause() }

// Continue lets a paused process run on.
func (s *Server) Continue() error { return s.running().Continue() }

// Restart stops the process if it runs, and starts it again at the same addresses with
// the same store.
func (s *Server) Restart(ctx context.Context) error {
	s.Stop()
	return s.relaunch(ctx)
}

// Empty kills the process if it runs, removes its store, and starts it again at the same
// addresses, like a host whose disk was lost.
func (s *Server) Empty(ctx context.Context) error {
	s.Kill()
	if err := os.RemoveAll(s.store()); err != nil {
		return fmt.Errorf("remove the store of nats-server %s: %w", s.Name, err)
	}
	return s.relaunch(ctx)
}

// StoreBytes returns the contents of all files of the store, one after the other, for
// tests that search them. It is complete only after Stop: a replicated stream is written
// some milliseconds after it has acknowledged a message. A stream with compression hides
// what it holds.
func (s *Server) StoreBytes() ([]byte, error) {
	var all []byte
	store := os.DirFS(s.store())
	err := fs.WalkDir(store, ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			var content []byte
			content, err = fs.ReadFile(store, path)
			all = append(all, content...)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a running server has removed it
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the store of nats-server %s: %w", s.Name, err)
	}
	return all, nil
}

// ClientCert issues a client certificate with this common name, signed by the CA of
// CACert, and returns the PEM files of the certificate and its key.
func (s *Server) ClientCert(name string) (certFile, keyFile string, err error) {
	if s.ca == nil {
		return "", "", errors.New("client certificate: the server has no TLS: set Options.TLS")
	}
	return s.ca.Client(name)
}

// Link puts a network that can be cut before the server, until the end of the test.
// Clients use it through url.
func (s *Server) Link(t testing.TB) (link *faultproxy.Link, url string) {
	t.Helper()
	link, err := faultproxy.NewLink(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	return link, s.scheme() + link.Addr
}

func (s *Server) running() *child.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}
