package cluster_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/internal/cluster"
	"mailu-rotator/internal/cluster/natstest"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// host is where a process runs. Once it is dead nothing that the process does has an
// effect.
type host struct {
	fleet *fleet
	name  string
	slots map[rotator.Origin]chan struct{} // as Mailu's client limits its requests

	mu     sync.Mutex
	frozen chan struct{} // closed by thaw; nil: it runs
	dead   bool
}

func (f *fleet) host(name string) *host {
	h := &host{fleet: f, name: name, slots: map[rotator.Origin]chan struct{}{}}
	for _, origin := range f.mailu.Origins {
		h.slots[origin] = make(chan struct{}, 2) // max_concurrent of rotatortest.Mailu
	}
	return h
}

// sweep is the sweep of the process.
func (h *host) sweep() *sweep.Sweep {
	f := h.fleet
	store := hostStore{f.store, h}
	s := &sweep.Sweep{
		Store: store, Keys: store, Mailu: hostMailu{f.mailu, h}, Time: f.store, Clock: rotator.SystemClock{}, NewPassword: f.newPassword,
		DefaultPolicy: rotatortest.Policy(f.t, "180_days"), Owner: h.name, Workers: 8, Cores: runtime.GOMAXPROCS(0), ClaimTTL: f.claimTTL, Canary: true, Grace: 5 * time.Second,
	}
	if !f.realSeals {
		s.Envelope = func(keys *crypto.Keyring) rotator.Envelope { return cheap{keys.Newest().Version} }
	}
	return s
}

// cheap seals without a key derivation, which would cost more than everything else.
type cheap struct{ newest crypto.KeyVersion }

func (c cheap) Seal(to crypto.Binding, password crypto.Secret) (crypto.SealedPassword, crypto.KeyVersion, error) {
	return crypto.SealedPassword(to.TenantID + " " + to.LastRotated + "|" + password.RevealString()), c.newest, nil
}

func (c cheap) Open(_ crypto.KeyVersion, from crypto.Binding, sealed crypto.SealedPassword) (crypto.Secret, error) {
	password, sealedSo := strings.CutPrefix(string(sealed), from.TenantID+" "+from.LastRotated+"|")
	if !sealedSo {
		return crypto.Secret{}, errors.New("not sealed so")
	}
	return crypto.SecretFromString(password), nil
}

// freeze stops the process at its next call, until thaw.
func (h *host) freeze() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.frozen = make(chan struct{})
}

func (h *host) stands() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.frozen != nil
}

func (h *host) thaw() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.frozen != nil {
		close(h.frozen)
		h.frozen = nil
	}
}

// pass waits while the host is frozen.
func (h *host) pass() error {
	h.mu.Lock()
	frozen := h.frozen
	h.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead {
		return errDead
	}
	return nil
}

type hostStore struct {
	*rotatortest.Store
	host *host
}

func (s hostStore) Read(ctx context.Context, tenant rotator.TenantID) (rotator.Document, error) {
	if err := s.host.pass(); err != nil {
		return rotator.Document{}, err
	}
	return s.Store.Read(ctx, tenant)
}

func (s hostStore) Write(ctx context.Context, tenant rotator.TenantID, doc rotator.Document) (int, error) {
	if err := s.host.pass(); err != nil {
		return 0, err
	}
	return s.Store.Write(ctx, tenant, doc)
}

func (s hostStore) MasterKeys(context.Context) (*crypto.Keyring, error) {
	return keyring(s.host.fleet.keyRotated.Load())
}

// keyring has a second version of the master key once it was rotated.
func keyring(rotated bool) (*crypto.Keyring, error) {
	keys := map[crypto.KeyVersion][]byte{1: bytes.Repeat([]byte{1}, crypto.KeySize)}
	if rotated {
		keys[2] = bytes.Repeat([]byte{2}, crypto.KeySize)
	}
	return crypto.NewKeyring(keys)
}

type hostMailu struct {
	*rotatortest.Mailu
	host *host
}

func (m hostMailu) Server(origin rotator.Origin) (rotator.Server, error) {
	server, err := m.Mailu.Server(origin)
	if err != nil {
		return nil, err
	}
	return hostServer{server, m.host, origin}, nil
}

type hostServer struct {
	rotator.Server
	host   *host
	origin rotator.Origin
}

func (s hostServer) Knows(ctx context.Context, user string) error {
	return s.request(rotatortest.OpKnows, user, func() error { return s.Server.Knows(ctx, user) })
}

func (s hostServer) SetPassword(ctx context.Context, user string, password crypto.Secret) error {
	return s.request(rotatortest.OpSetPassword, user, func() error { return s.Server.SetPassword(ctx, user, password) })
}

func (s hostServer) Verify(ctx context.Context, user string, password crypto.Secret) (check *rotator.HashCheck, err error) {
	err = s.request(rotatortest.OpVerify, user, func() error {
		check, err = s.Server.Verify(ctx, user, password)
		return err
	})
	return check, err
}

func (s hostServer) request(op rotatortest.Op, user string, send func() error) error {
	slots := s.host.slots[s.origin]
	slots <- struct{}{}
	defer func() { <-slots }()
	f := s.host.fleet
	f.mu.Lock()
	watch := f.watch
	f.mu.Unlock()
	if watch != nil {
		watch(s.host, op, user)
	}
	if err := s.host.pass(); err != nil {
		return err
	}
	f.enter(s.origin, 1)
	defer f.enter(s.origin, -1)
	return send()
}

func (f *fleet) enter(origin rotator.Origin, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy[origin] += n
	f.most = max(f.most, f.busy[origin])
}

// wantLimit fails the test if a server had more requests at a time than it takes.
func (f *fleet) wantLimit() {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.most > 2 {
		f.t.Errorf("%d requests at a time, want no more than max_concurrent 2", f.most)
	}
}

// worker is a process that works for the cluster.
type worker struct {
	*host
	cluster *cluster.Cluster
	stop    func()

	opened, closed atomic.Int32 // sessions
	noVault        atomic.Bool  // sessions cannot be opened
	noTokens       atomic.Bool  // batches cannot be begun
	oneCore        atomic.Bool  // which one batch needs whole

	begun []rotator.Origin // of batches; guarded by the host's lock
}

// batches returns the servers of the batches that the worker has begun.
func (w *worker) batches() []rotator.Origin {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.begun)
}

// worker starts one, and waits until it is announced.
func (f *fleet) worker(name string, origins ...rotator.Origin) *worker {
	f.t.Helper()
	return f.workerAt(f.config.Servers, name, origins...)
}

// workerAt starts one that reaches NATS at other addresses.
func (f *fleet) workerAt(urls []string, name string, origins ...rotator.Origin) *worker {
	f.t.Helper()
	w := &worker{host: f.host(name), cluster: f.open(name, func(c *cluster.Config) { c.Servers = urls })}
	ready, ended := make(chan struct{}), make(chan struct{})
	process := &cluster.Worker{Cluster: w.cluster, Origins: origins, Open: w.open, Ready: func() { close(ready) }}
	ctx, cancel := context.WithCancel(f.t.Context())
	go func() {
		defer close(ended)
		process.Run(ctx)
	}()
	w.stop = sync.OnceFunc(func() {
		w.thaw()
		cancel()
		<-ended
	})
	f.t.Cleanup(w.stop)
	<-ready
	return w
}

// kill ends the process where it is.
func (w *worker) kill() {
	w.mu.Lock()
	w.dead = true
	w.mu.Unlock()
	w.cluster.Close()
}

func (w *worker) open(ctx context.Context) (cluster.Session, error) {
	if w.noVault.Load() {
		return nil, rotator.ErrUnavailable
	}
	s := w.sweep()
	work, err := s.OpenWork(ctx)
	if err != nil {
		return nil, err
	}
	w.opened.Add(1)
	return &session{WorkSession: work, sweep: s, worker: w}, nil
}

// session is one of a worker.
type session struct {
	*sweep.WorkSession
	sweep  *sweep.Sweep
	worker *worker
	idle   atomic.Bool // the core of oneCore: not before the first batch ends
}

func (s *session) Idle() int {
	switch {
	case !s.worker.oneCore.Load():
		return s.WorkSession.Idle()
	case s.idle.Load():
		return 1
	}
	return 0
}

func (s *session) Work(ctx context.Context, b sweep.Batch, held func() bool, report func(sweep.Settled)) error {
	if s.worker.noTokens.Load() {
		return errors.New("the token file cannot be read")
	}
	s.worker.mu.Lock()
	s.worker.begun = append(s.worker.begun, b.Origin)
	s.worker.mu.Unlock()
	s.idle.Store(false)
	defer s.idle.Store(true)
	return s.sweep.Work(ctx, s.WorkSession, b, held, report)
}

func (s *session) Close() {
	s.WorkSession.Close()
	s.worker.closed.Add(1)
}

// clientTLS is for a client with a certificate that the server accepts.
func clientTLS(t *testing.T, server *natstest.Server) *tls.Config {
	t.Helper()
	certFile, keyFile, err := server.ClientCert("worker")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(server.CACert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{pair}}
}

// seedOf reads the seed of an nkey.
func seedOf(file string) func() (crypto.Secret, error) {
	return func() (crypto.Secret, error) {
		seed, err := os.ReadFile(file)
		return crypto.NewSecret(seed), err
	}
}
