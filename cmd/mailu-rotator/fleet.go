package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"mailu-rotator/crypto"
	"mailu-rotator/internal/config"
	"mailu-rotator/mailu"
	"mailu-rotator/rotator"
	"mailu-rotator/vault"
)

// fleet is everything that one configuration describes, ready to run.
type fleet struct {
	cfg       *config.Config
	login     *vault.Login
	passwords *crypto.Generator
	owner     string
	log       *logger
	observe   rotator.Observer
	hooks     rotator.Observer // part of observe
	meters    meters
	patience  time.Duration // for a Vault that does not answer; 0: vault's default
}

// meters are further callbacks of a run, beside the observer. All may be nil.
type meters struct {
	board        *rotator.Board
	step         func(step rotator.Step, took time.Duration)
	vaultRequest func(operation string, status int, took time.Duration)
	vaultToken   func(expires time.Time)
	mailuRequest func(origin rotator.Origin, method string, status int, took time.Duration)
}

// newFleet wires a configuration. former may be nil; a reload passes the fleet that it
// replaces, because a wrapped secret-id can be unwrapped only once.
func newFleet(cfg *config.Config, log *logger, former *fleet) (*fleet, error) {
	passwords, err := crypto.NewGenerator(cfg.Password.Recipe())
	if err != nil {
		return nil, fmt.Errorf("password: %w", err)
	}
	f := &fleet{cfg: cfg, passwords: passwords, log: log, observe: log.observe, owner: newOwner()}
	if former != nil {
		f.owner = former.owner
		if former.cfg.Vault.Auth == cfg.Vault.Auth {
			f.login = former.login
			return f, nil
		}
	}
	f.login, err = vault.NewLogin(authOf(cfg.Vault.Auth))
	return f, err
}

// sweep is one run of the daemon; its report goes to the log, which does not name
// tenants without a change.
func (f *fleet) sweep(ctx context.Context, sel rotator.Selection, window time.Duration) error {
	defer debug.FreeOSMemory() // return the run's memory for the hours until the next one
	return f.with(ctx, func(s *rotator.Sweep) error {
		s.Brief = true
		_, err := s.Run(ctx, sel, window)
		return err
	})
}

// verify is one verification of the daemon; its findings go to the log.
func (f *fleet) verify(ctx context.Context) error {
	defer debug.FreeOSMemory()
	return f.with(ctx, func(s *rotator.Sweep) error {
		_, err := s.Verify(ctx, rotator.Selection{}, f.cfg.Verify.Repair)
		return err
	})
}

// lapsed checks a few tenants between runs, see [rotator.Sweep.Lapsed].
func (f *fleet) lapsed(ctx context.Context, tenants []rotator.TenantID) (lapsed bool, err error) {
	err = f.with(ctx, func(s *rotator.Sweep) error {
		lapsed, err = s.Lapsed(ctx, tenants)
		return err
	})
	return lapsed, err
}

// newOwner names this process in claims; the name is unique among processes, hosts and
// boots.
func newOwner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), hex.EncodeToString(id[:]))
}

// with opens a session, calls do with its sweep, and ends the session.
func (f *fleet) with(ctx context.Context, do func(*rotator.Sweep) error) error {
	return f.withRegistry(ctx, func(s *rotator.Sweep, _ rotator.Registry) error { return do(s) })
}

// withRegistry is the same for commands that create records and users.
func (f *fleet) withRegistry(ctx context.Context, do func(*rotator.Sweep, rotator.Registry) error) error {
	servers, err := f.servers()
	if err != nil {
		return err
	}
	defer servers.Close()
	client, err := vault.Open(ctx, f.vaultConfig(), f.login)
	if err != nil {
		return err
	}
	defer func() {
		if err := client.Close(); err != nil {
			f.log.zap.Warn("vault token not revoked", zap.Error(err))
		}
	}()
	return do(f.sweepOn(client, servers), registry{client, servers})
}

func (f *fleet) sweepOn(client *vault.Client, servers *mailuServers) *rotator.Sweep {
	return &rotator.Sweep{
		Store: client, Keys: client, Time: client, Mailu: servers,
		Clock:         rotator.SystemClock{},
		NewPassword:   f.passwords.Generate,
		DefaultPolicy: f.cfg.Rotation.DefaultPolicy.WithSpread(f.cfg.Rotation.Spread),
		Owner:         f.owner,
		Workers:       f.cfg.Rotation.Workers,
		ClaimTTL:      f.cfg.Rotation.ClaimTTL,
		Canary:        f.cfg.Rotation.Canary,
		Grace:         f.cfg.Rotation.ShutdownGrace,
		Observe:       f.observe,
		OnStep:        f.meters.step,
		Board:         f.meters.board,
	}
}

func (f *fleet) vaultConfig() vault.Config {
	c := vaultConfigOf(f.cfg.Vault)
	c.Workers = f.cfg.Rotation.Workers
	c.OnWait, c.Patience = f.log.vaultWaits, f.patience
	c.OnRequest, c.OnToken = f.meters.vaultRequest, f.meters.vaultToken
	return c
}

func vaultConfigOf(v config.Vault) vault.Config {
	return vault.Config{
		Address: v.Address, Namespace: v.Namespace, CAFile: v.CAFile,
		Mount: v.Mount, Prefix: v.Prefix, Leaf: v.Leaf,
		Transit: vault.Transit{Mount: v.Transit.Mount, Key: v.Transit.Key},
	}
}

// recordArgs returns the arguments that name a tenant's record to `vault kv`.
func recordArgs(v config.Vault, tenant string) string {
	return fmt.Sprintf("-mount=%s %s/%s/%s", v.Mount, v.Prefix, tenant, v.Leaf)
}

func authOf(a config.Auth) vault.Auth {
	return vault.Auth{
		Method: vault.Method(a.Method), Mount: a.Mount,
		Token: a.Token, TokenFile: a.TokenFile,
		RoleIDFile: a.RoleIDFile, SecretIDFile: a.SecretIDFile, SecretIDWrapped: a.SecretIDWrapped,
		Role: a.Role, JWTFile: a.JWTFile, CertFile: a.CertFile, KeyFile: a.KeyFile,
		ReadSecret: config.ReadSecret, ReadJWT: config.ReadServiceAccountToken,
	}
}

// mailuServers are the servers of one run. A server whose token cannot be read is
// excluded from the run; the others are not.
type mailuServers struct {
	*mailu.Servers
	broken map[rotator.Origin]error
	apis   map[rotator.Origin]string // of the excluded servers
	tokens []crypto.Secret           // of the included servers
}

// servers reads the tokens again, so that a replaced token takes effect in the next
// run.
func (f *fleet) servers() (*mailuServers, error) {
	s := &mailuServers{broken: map[rotator.Origin]error{}, apis: map[rotator.Origin]string{}}
	var usable []mailu.ServerConfig
	for _, c := range f.cfg.Mailu.Servers {
		token, err := config.ReadSecret(c.TokenFile)
		if err != nil {
			s.broken[c.Origin] = fmt.Errorf("token of %s: %w", c.Origin, err)
			if api, err := rotator.ParseOrigin(c.APIURL); err == nil {
				s.apis[c.Origin] = api.Host()
			}
			continue
		}
		s.tokens = append(s.tokens, token)
		usable = append(usable, mailu.ServerConfig{
			Origin: c.Origin, APIURL: c.APIURL, Token: token, CAFile: c.CAFile, AllowHTTP: c.AllowHTTP,
			MaxConcurrent: c.MaxConcurrent, Timeout: c.Timeout, Verify: mailu.Verify(c.Verify),
		})
	}
	var err error
	s.Servers, err = mailu.New(usable, mailu.Options{UserAgent: "mailu-rotator/" + version, OnRequest: f.meters.mailuRequest})
	if err != nil {
		s.wipe()
		return nil, err
	}
	return s, nil
}

// Close drops the connections and wipes the tokens.
func (s *mailuServers) Close() {
	s.Servers.Close()
	s.wipe()
}

func (s *mailuServers) wipe() {
	for _, token := range s.tokens {
		token.Wipe()
	}
}

// Server implements rotator.Mailu.
func (s *mailuServers) Server(origin rotator.Origin) (rotator.Server, error) {
	if err := s.broken[origin]; err != nil {
		return nil, err
	}
	return s.Servers.Server(origin)
}

// API implements rotator.Mailu. It also answers for a server that is excluded from the
// run, because its users still exist.
func (s *mailuServers) API(origin rotator.Origin) string {
	if api, found := s.apis[origin]; found {
		return api
	}
	return s.Servers.API(origin)
}
