package natstest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"mailu-rotator/test/authority"
	"mailu-rotator/test/child"
)

const (
	// clashes is how often a start retries because a port was taken.
	clashes = 20
	// ready is what the server prints when its store is loaded and it accepts clients.
	ready = "Server is ready"
	// routed is what a server of a cluster prints when the others can reach it.
	routed = "Listening for route connections"
)

// prepare makes the directories and, with TLS, one CA for all servers.
func prepare(ctx context.Context, o Options, names ...string) ([]*Server, error) {
	if o.Dir == "" {
		return nil, errors.New("start nats-server: no directory for its store: set Options.Dir")
	}
	binary, err := child.Binary(ctx, "nats", o.Binary)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("directory for nats-server: %w", err)
	}
	servers := make([]*Server, len(names))
	for i, name := range names {
		servers[i] = &Server{Name: name, opts: o, binary: binary, dir: filepath.Join(dir, name), members: servers}
		if err := os.MkdirAll(servers[i].dir, 0o700); err != nil {
			return nil, fmt.Errorf("make a directory for nats-server: %w", err)
		}
	}
	if !o.TLS {
		return servers, nil
	}
	ca, err := authority.New(dir, "natstest CA")
	if err != nil {
		return nil, err
	}
	cert, key, err := ca.Server()
	for _, s := range servers {
		s.ca, s.CACert, s.cert, s.key = ca, ca.CertFile, cert, key
	}
	return servers, err
}

// launch starts the processes on free ports. Another process can take one before a
// server listens; then launch tries others.
func launch(ctx context.Context, servers []*Server) error {
	var err error
	for range clashes {
		if err = choosePorts(servers); err != nil {
			return err
		}
		if err = spawnAll(ctx, servers); !errors.Is(err, child.ErrPortTaken) {
			return err
		}
	}
	return err
}

func choosePorts(servers []*Server) error {
	for _, s := range servers {
		for _, addr := range []*string{&s.Addr, &s.monitor, &s.route} {
			var err error
			if *addr, err = child.FreePort(); err != nil {
				return err
			}
		}
		s.URL, s.Monitor = s.scheme()+s.Addr, "http://"+s.monitor
	}
	return nil
}

// spawnAll starts all processes or none.
func spawnAll(ctx context.Context, servers []*Server) error {
	for i, s := range servers {
		if err := s.spawn(ctx); err != nil {
			for _, started := range servers[:i] {
				started.Kill()
			}
			return err
		}
	}
	return nil
}

// relaunch starts the process on its previous ports. It waits while one is in use.
func (s *Server) relaunch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := s.spawn(ctx)
		if err == nil {
			return nil
		}
		err = fmt.Errorf("restart nats-server %s at %s: %w", s.Name, s.URL, err)
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
	config, err := s.config()
	if err != nil {
		return err
	}
	file := filepath.Join(s.dir, "nats.conf")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return fmt.Errorf("write the configuration of nats-server: %w", err)
	}
	awaited := []string{ready}
	if s.clustered() {
		awaited = append(awaited, routed)
	}
	p, err := child.Serve(ctx, s.opts.Log, s.binary, []string{"-c", file}, awaited...)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process = p
	return nil
}
