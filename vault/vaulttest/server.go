// Package vaulttest runs real Vault servers for tests and the demo: they start in well
// under a second, on loopback, die with their parent, and can be sealed, stopped and
// restarted.
//
// Nothing is imitated: tests learn how Vault really behaves. The binary is
// Options.Binary or the one that test/devstack/vault.sh finds or builds.
package vaulttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"mailu-rotator/test/authority"
	"mailu-rotator/test/child"

	"github.com/hashicorp/vault/api"
)

// Options configure the server. The zero value is a server in memory, without TLS.
type Options struct {
	// Binary is a vault or bao; empty means the one that test/devstack/vault.sh finds.
	Binary string
	// Dir is where the server stores its data, its unseal key and its root token, so
	// that they outlive Restart, Stop and the process itself. Empty means memory.
	Dir string
	// TLS gives the listener a certificate of its own CA, see Server.CACert. Client
	// certificates are accepted: see Server.ClientCert.
	TLS bool
	// Log receives the server's output; nil drops it.
	Log io.Writer
}

// Server is one Vault process, initialised and unsealed by Start. Its methods are safe
// for concurrent use.
type Server struct {
	Addr      string // http(s)://127.0.0.1:port, the same after Restart
	RootToken string
	CACert    string // PEM file of the CA behind Addr; empty without TLS

	opts      Options
	node      *node // nil unless it belongs to a Cluster
	binary    string
	work      string // configuration and certificates
	listen    string // host:port of Addr
	unsealKey string
	ca        *authority.Authority
	cert, key string // PEM files of the listener

	mu      sync.Mutex // guards the fields below
	process *child.Server
	http    *http.Client
	layout  Layout
}

// startTimeout bounds a start whose context has no deadline. A loaded machine needs a
// second; a server that hangs must not hang the test.
const startTimeout = time.Minute

// Start runs a server until Stop or Kill, or until this process ends. The
// context bounds the start, not the server's life.
func Start(ctx context.Context, o Options) (*Server, error) {
	s := &Server{opts: o, layout: DefaultLayout()}
	binary, err := child.Binary(ctx, "vault", o.Binary)
	if err != nil {
		return nil, err
	}
	s.binary = binary
	if err := s.prepare(); err != nil {
		s.Stop()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := s.launch(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		s.Stop()
		return nil, fmt.Errorf("prepare vault at %s: %w", s.Addr, err)
	}
	return s, nil
}

// Run starts a server for one test and stops it at the end of the test. On an error it
// fails the test; it never skips.
func Run(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatalf("start vault: %v", err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Client returns a client with the root token. It ignores the environment, does not
// retry, and has its own connections.
func (s *Server) Client() (*api.Client, error) {
	s.mu.Lock()
	transport := s.http
	s.mu.Unlock()
	client, err := api.NewClient(&api.Config{
		Address:    s.Addr,
		HttpClient: transport,
		Timeout:    30 * time.Second,
	})
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", s.Addr, err)
	}
	// NewClient took token, namespace and headers from the environment, and every
	// request would look up VAULT_WRAP_TTL.
	client.ClearNamespace()
	client.SetHeaders(http.Header{api.RequestHeaderName: {"true"}})
	client.SetToken(s.RootToken)
	client.SetWrappingLookupFunc(func(string, string) string { return "" })
	return client, nil
}

// PID is the process id, 0 if none was started.
func (s *Server) PID() int {
	if p := s.running(); p != nil {
		return p.PID()
	}
	return 0
}

// Kill ends the process immediately, like a crash, and waits until it is gone.
func (s *Server) Kill() {
	if p := s.running(); p != nil {
		p.Kill()
	}
}

// Stop ends the process in an orderly way, or by force after ten seconds, and removes
// the temporary files of a server without a Dir.
func (s *Server) Stop() {
	if p := s.running(); p != nil {
		p.Stop(10 * time.Second)
	}
	if s.opts.Dir == "" && s.work != "" {
		os.RemoveAll(s.work)
	}
}

// Restart stops the process if it runs, starts it again at the same address and unseals
// it. Only a server with a Dir keeps its data.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.RestartSealed(ctx); err != nil {
		return err
	}
	return s.Unseal(ctx)
}

// RestartSealed is Restart without the unsealing.
func (s *Server) RestartSealed(ctx context.Context) error {
	if s.opts.Dir == "" {
		return errors.New("restart vault: storage in memory is lost with the process: set Options.Dir")
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s.Stop()
	if err := s.relaunch(ctx); err != nil {
		return fmt.Errorf("restart vault at %s: %w", s.Addr, err)
	}
	return nil
}

// Seal seals the server: it answers 503 until Unseal.
func (s *Server) Seal(ctx context.Context) error {
	client, err := s.Client()
	if err != nil {
		return err
	}
	if err := client.Sys().SealWithContext(ctx); err != nil {
		return fmt.Errorf("seal vault: %w", err)
	}
	return nil
}

// Unseal unseals the server with the only key share it has.
func (s *Server) Unseal(ctx context.Context) error {
	client, err := s.Client()
	if err != nil {
		return err
	}
	status, err := client.Sys().UnsealWithContext(ctx, s.unsealKey)
	if err != nil {
		return fmt.Errorf("unseal vault: %w", err)
	}
	if status.Sealed {
		return errors.New("unseal vault: still sealed after the only key share: was the storage made by another server?")
	}
	return nil
}

// ClientCert issues a client certificate with this common name, signed by the CA of
// CACert, and returns the PEM files of the certificate and its key.
func (s *Server) ClientCert(name string) (certFile, keyFile string, err error) {
	if s.ca == nil {
		return "", "", errors.New("client certificate: the server has no TLS: set Options.TLS")
	}
	return s.ca.Client(name)
}

// prepare makes the working directory and, with TLS, the certificates.
func (s *Server) prepare() error {
	s.work = s.opts.Dir
	if s.work == "" {
		dir, err := os.MkdirTemp("", "vaulttest-")
		if err != nil {
			return fmt.Errorf("make a directory for vault: %w", err)
		}
		s.work = dir
	}
	// Vault resolves paths against its own working directory.
	work, err := filepath.Abs(s.work)
	if err != nil {
		return fmt.Errorf("directory for vault: %w", err)
	}
	s.work = work
	if err := os.MkdirAll(s.work, 0o700); err != nil {
		return fmt.Errorf("make a directory for vault: %w", err)
	}
	if !s.opts.TLS {
		s.http = newHTTPClient(nil)
		return nil
	}
	if s.ca == nil { // the nodes of a cluster share one
		if s.ca, err = authority.New(s.work, "vaulttest CA"); err != nil {
			return err
		}
	}
	s.CACert = s.ca.CertFile
	s.http = newHTTPClient(s.ca.Pool)
	s.cert, s.key, err = s.ca.Server()
	return err
}

func (s *Server) running() *child.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// Pause stops the process where it is, until Continue: as on a host that stands still, its
// connections stay open and nothing is answered.
func (s *Server) Pause() error { return s.running().Pause() }

// Continue ends Pause.
func (s *Server) Continue() error { return s.running().Continue() }
