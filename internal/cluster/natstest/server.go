// Package natstest runs real NATS servers with JetStream for tests and the demo: they
// start in a tenth of a second, on loopback, die with their parent, and can be killed,
// stopped, restarted and emptied.
//
// Nothing is imitated and no server code is linked: the binary is Options.Binary or the
// one that test/devstack/nats.sh builds.
package natstest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"mailu-rotator/test/child"
)

// Options configure the server.
type Options struct {
	// Binary is a nats-server; empty means the one that test/devstack/nats.sh builds.
	Binary string
	// Dir is where the server keeps its configuration and its store, which outlive the
	// process. Start needs it; for Run, empty means the test's temporary directory.
	Dir string
	// Log receives the server's output; nil drops it.
	Log io.Writer
}

// Server is one NATS process. Its methods are safe for concurrent use.
type Server struct {
	URL     string // for clients, nats://127.0.0.1:port; the same after Restart
	Monitor string // its monitoring endpoints, http://127.0.0.1:port; the same after Restart

	opts    Options
	binary  string
	dir     string // absolute
	listen  string // host:port of URL
	monitor string // host:port of Monitor

	mu      sync.Mutex // guards the field below
	process *child.Server
}

const (
	// startTimeout bounds a start whose context has no deadline. A loaded machine needs
	// a second; a server that hangs must not hang the test.
	startTimeout = time.Minute
	// stopPatience is how long a server may take to end in an orderly way.
	stopPatience = 10 * time.Second
	// clashes is how often a start retries because a port was taken.
	clashes = 20
	// ready is what the server prints when its store is loaded and it accepts clients.
	ready = "Server is ready"
)

// Start runs a server until Stop or Kill, or until this process ends. The context bounds
// the start, not the server's life.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Dir == "" {
		return nil, errors.New("start nats-server: no directory for its store: set Options.Dir")
	}
	binary, err := findBinary(ctx, o.Binary)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("directory for nats-server: %w", err)
	}
	s := &Server{opts: o, binary: binary, dir: dir}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := s.launch(ctx); err != nil {
		return nil, err
	}
	return s, nil
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
func (s *Server) Kill() {
	if p := s.running(); p != nil {
		p.Kill()
	}
}

// Stop ends the process in an orderly way, or by force after ten seconds.
func (s *Server) Stop() {
	if p := s.running(); p != nil {
		p.Stop(stopPatience)
	}
}

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
		return fmt.Errorf("remove the store of nats-server: %w", err)
	}
	return s.relaunch(ctx)
}

// launch starts the process on free ports. Another process can take one before the
// server listens; then launch tries others.
func (s *Server) launch(ctx context.Context) error {
	var err error
	for range clashes {
		if s.listen, err = child.FreePort(); err != nil {
			return err
		}
		if s.monitor, err = child.FreePort(); err != nil {
			return err
		}
		if err = s.spawn(ctx); !errors.Is(err, child.ErrPortTaken) {
			break
		}
	}
	s.URL, s.Monitor = "nats://"+s.listen, "http://"+s.monitor
	return err
}

// relaunch starts the process on its previous ports. It waits while one is in use, such
// as by an outgoing connection of another test.
func (s *Server) relaunch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := s.spawn(ctx)
		if err == nil {
			return nil
		}
		err = fmt.Errorf("restart nats-server at %s: %w", s.URL, err)
		if !errors.Is(err, child.ErrPortTaken) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *Server) spawn(ctx context.Context) error {
	file := filepath.Join(s.dir, "nats.conf")
	if err := os.WriteFile(file, []byte(s.config()), 0o600); err != nil {
		return fmt.Errorf("write the configuration of nats-server: %w", err)
	}
	p, err := child.Serve(ctx, s.opts.Log, ready, s.binary, "-c", file)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process = p
	return nil
}

func (s *Server) config() string {
	return fmt.Sprintf("listen: %q\nhttp: %q\njetstream {\n  store_dir: %q\n}\n", s.listen, s.monitor, s.store())
}

func (s *Server) store() string { return filepath.Join(s.dir, "store") }

func (s *Server) running() *child.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}
