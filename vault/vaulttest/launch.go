package vaulttest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"mailu-rotator/test/child"

	"github.com/hashicorp/vault/api"
)

// clashes is how often a start retries because its port was taken.
const clashes = 20

// started ends "==> Vault server started!" and "==> OpenBao server started!".
const started = "server started!"

// launch starts the process on a free port. Another process can take the port before
// Vault listens; then launch tries another one.
func (s *Server) launch(ctx context.Context) error {
	var err error
	for range clashes {
		if s.listen, err = child.FreePort(); err != nil {
			return err
		}
		s.Addr = "http://" + s.listen
		if s.opts.TLS {
			s.Addr = "https://" + s.listen
		}
		if s.node != nil {
			if err = s.node.connect(); err != nil {
				return err
			}
		}
		if err = s.spawn(ctx); !errors.Is(err, child.ErrPortTaken) {
			return err
		}
	}
	return err
}

// relaunch starts the process on its previous port. It waits while that is in use, such
// as by an outgoing connection of another test.
func (s *Server) relaunch(ctx context.Context) error {
	var err error
	for range clashes {
		if err = s.spawn(ctx); !errors.Is(err, child.ErrPortTaken) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
	return err
}

func (s *Server) spawn(ctx context.Context) error {
	config := filepath.Join(s.work, "vault.hcl")
	if err := os.WriteFile(config, []byte(s.config()), 0o600); err != nil {
		return fmt.Errorf("write vault's configuration: %w", err)
	}
	p, err := child.Serve(ctx, s.opts.Log, s.binary, []string{"server", "-config=" + config}, started)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process = p
	s.http.CloseIdleConnections() // they led to the old process
	return nil
}

func (s *Server) config() string {
	storage, peers := `storage "inmem" {}`, ""
	switch {
	case s.node != nil:
		storage, peers = s.node.config(s.data())
	case s.opts.Dir != "":
		storage = fmt.Sprintf("storage \"file\" {\n  path = %q\n}", s.data())
	}
	security := "tls_disable = true"
	if s.ca != nil {
		security = fmt.Sprintf("tls_cert_file = %q\n  tls_key_file = %q", s.cert, s.key)
	}
	return fmt.Sprintf("%s\nlistener \"tcp\" {\n  address = %q\n  %s\n  %s\n}\napi_addr = %q\ndisable_mlock = true\n",
		storage, s.listen, security, peers, s.Addr)
}

// data is where storage on disk is.
func (s *Server) data() string { return filepath.Join(s.work, "data") }

// ceremony is the result of initialising a server. With a Dir it is stored beside the
// data: these secrets belong to a server that only tests use.
type ceremony struct {
	UnsealKey string `json:"unseal_key"`
	RootToken string `json:"root_token"`
}

// open initialises a new server, or loads the ceremony of an existing one, and unseals
// it.
func (s *Server) open(ctx context.Context) error {
	client, err := s.Client()
	if err != nil {
		return err
	}
	initialised, err := client.Sys().InitStatusWithContext(ctx)
	if err != nil {
		return fmt.Errorf("ask whether it is initialised: %w", err)
	}
	file := filepath.Join(s.work, "init.json")
	var made ceremony
	if initialised {
		made, err = readCeremony(file)
	} else {
		made, err = initialise(ctx, client, file)
	}
	if err != nil {
		return err
	}
	s.unsealKey, s.RootToken = made.UnsealKey, made.RootToken
	return s.Unseal(ctx)
}

func readCeremony(file string) (ceremony, error) {
	var c ceremony
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("storage of a server whose unseal key is not beside it: empty the directory: %w", err)
	}
	if err != nil {
		return c, fmt.Errorf("read the unseal key: %w", err)
	}
	return c, nil
}

func initialise(ctx context.Context, client *api.Client, file string) (ceremony, error) {
	made, err := client.Sys().InitWithContext(ctx, &api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		return ceremony{}, fmt.Errorf("initialise: %w", err)
	}
	c := ceremony{UnsealKey: made.KeysB64[0], RootToken: made.RootToken}
	text, err := json.Marshal(c)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return ceremony{}, fmt.Errorf("keep the unseal key: %w", err)
	}
	return c, nil
}

// newHTTPClient returns what api.DefaultConfig would, without the environment.
func newHTTPClient(roots *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 16,
			IdleConnTimeout:     time.Minute,
		},
		// The Vault client follows redirects itself.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
