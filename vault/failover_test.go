package vault_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/vault"
	"mailu-rotator/vault/vaulttest"
)

// clustered is a real cluster with the default layout and one record.
type clustered struct {
	*vaulttest.Cluster
	auth vault.Auth
}

func newClustered(t *testing.T) *clustered {
	t.Helper()
	cluster := vaulttest.RunCluster(t, vaulttest.ClusterOptions{})
	leader, err := cluster.Leader(within(t, time.Minute))
	must(t, err)
	must(t, leader.Provision(t.Context(), vaulttest.DefaultLayout()))
	root, err := cluster.Client()
	must(t, err)
	f := &fixture{server: leader, root: root, config: vault.Config{
		Address: leader.Addr, Mount: "vault", Prefix: "smtp", Leaf: "admin",
		Transit: vault.Transit{Mount: "transit", Key: "smtp-master"},
	}}
	f.withTenant(t, map[string]any{"v": "0"})
	f.write(t, "vault/config", map[string]any{"max_versions": 10_000})
	return &clustered{Cluster: cluster, auth: f.appRole(t, nil)}
}

// config asks the node first, and then the others, if there are to be more.
func (c *clustered) config(first *vaulttest.Server, all bool) vault.Config {
	cfg := vault.Config{
		Address: first.Addr, CAFile: c.CACert, Mount: "vault", Prefix: "smtp", Leaf: "admin",
		Transit: vault.Transit{Mount: "transit", Key: "smtp-master"},
	}
	for _, other := range c.Followers(first) {
		if all {
			cfg.OtherAddresses = append(cfg.OtherAddresses, other.Addr)
		}
	}
	return cfg
}

// writer writes one version after the other through one session, as a run does, and
// remembers what Vault acknowledged.
type writer struct {
	client *vault.Client
	done   atomic.Int64 // writes
	still  atomic.Int64 // the longest, in nanoseconds
	told   map[int]string
}

// writeUntil writes until stop is closed. An ambiguous write is settled by what Vault has.
func (w *writer) writeUntil(ctx context.Context, stop <-chan struct{}) error {
	doc, err := w.client.Read(ctx, tenant)
	for ; err == nil; w.done.Add(1) {
		select {
		case <-stop:
			return nil
		default:
		}
		value := fmt.Sprintf("%p %d", w, w.done.Load())
		begun := time.Now()
		version, failed := w.client.Write(ctx, tenant, rotator.Document{Version: doc.Version, Fields: map[string]any{"v": value}})
		w.still.Store(max(w.still.Load(), int64(time.Since(begun))))
		if failed == nil {
			w.told[version] = value
			doc.Version = version
			continue
		}
		if !errors.Is(failed, rotator.ErrConflict) {
			return failed
		}
		if doc, err = w.client.Read(ctx, tenant); err == nil && doc.Fields["v"] != value {
			return fmt.Errorf("version %d has %v; ours was %s: %w", doc.Version, doc.Fields, value, failed)
		}
	}
	return err
}

// during has a session write before, during and after an incident, and checks that nothing
// acknowledged was lost.
func (c *clustered) during(t *testing.T, cfg vault.Config, incident func()) {
	t.Helper()
	login, err := vault.NewLogin(c.auth)
	must(t, err)
	client, err := openWith(t, cfg, login)
	must(t, err)
	w := &writer{client: client, told: map[int]string{}}
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- w.writeUntil(within(t, 2*time.Minute), stop) }()
	w.await(t, 3, ended)

	w.still.Store(0)
	begun := time.Now()
	incident()
	away := make(chan time.Duration, 1)
	go func() { c.awaitWrite(t.Context()); away <- time.Since(begun) }()
	w.await(t, 3, ended)
	t.Logf("the session stood still for %s; no node of Vault wrote for %s", time.Duration(w.still.Load()).Round(time.Millisecond), (<-away).Round(time.Millisecond))

	close(stop)
	must(t, <-ended)
	for version, value := range w.told {
		if doc, err := client.ReadVersion(t.Context(), tenant, version); err != nil || doc.Fields["v"] != value {
			t.Errorf("version %d was acknowledged with %q and is %v, %v", version, value, doc.Fields, err)
		}
	}
}

// awaitWrite waits until some node writes. It asks all of them at the same time, again
// and again.
func (c *clustered) awaitWrite(ctx context.Context) {
	ctx, done := context.WithCancel(ctx)
	defer done()
	var askers sync.WaitGroup
	for i, node := range c.Nodes {
		client, err := node.Client()
		if err != nil {
			return // the cluster is being stopped
		}
		client.SetMaxRetries(0)
		client.SetClientTimeout(200 * time.Millisecond)
		askers.Go(func() {
			for ; ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
				if _, err := client.Logical().WriteWithContext(ctx, fmt.Sprintf("vault/data/probe-%d", i), map[string]any{"data": map[string]any{}}); err == nil {
					done()
				}
			}
		})
	}
	askers.Wait()
}

// await waits for a number of further writes.
func (w *writer) await(t *testing.T, more int64, ended chan error) {
	t.Helper()
	for from := w.done.Load(); w.done.Load() < from+more; time.Sleep(5 * time.Millisecond) {
		select {
		case err := <-ended:
			ended <- err
			t.Fatal(err)
		default:
		}
	}
}

// Every way in which the node that a session talks to can be lost. One cluster for all: a
// start takes seconds.
func TestASessionSurvivesTheLossOfItsNode(t *testing.T) {
	c := newClustered(t)
	leader := func() *vaulttest.Server {
		found, err := c.Leader(within(t, time.Minute))
		must(t, err)
		return found
	}
	for _, test := range []struct {
		name   string
		follow bool // the session talks to a follower
		single bool // and knows no other node
		lose   func(*vaulttest.Server)
		regain func(*vaulttest.Server)
	}{
		{
			name: "the leader is killed",
			lose: func(s *vaulttest.Server) { s.Kill() }, regain: func(s *vaulttest.Server) { must(t, c.Return(t.Context(), s)) },
		},
		{
			name: "a standby is killed", follow: true,
			lose: func(s *vaulttest.Server) { s.Kill() }, regain: func(s *vaulttest.Server) { must(t, c.Return(t.Context(), s)) },
		},
		{
			name: "the leader is sealed",
			lose: func(s *vaulttest.Server) { must(t, s.Seal(t.Context())) }, regain: func(s *vaulttest.Server) { must(t, s.Unseal(t.Context())) },
		},
		{
			name: "the leader is cut off from its peers",
			lose: func(s *vaulttest.Server) { must(t, c.Isolate(s)) }, regain: func(*vaulttest.Server) { c.Heal() },
		},
		{
			name: "a standby is cut off from its peers", follow: true,
			lose: func(s *vaulttest.Server) { must(t, c.Isolate(s)) }, regain: func(*vaulttest.Server) { c.Heal() },
		},
		{
			name: "the leader stands still",
			lose: func(s *vaulttest.Server) { must(t, s.Pause()) }, regain: func(s *vaulttest.Server) { must(t, s.Continue()) },
		},
		{
			name: "the leader of the only known node is killed", follow: true, single: true,
			lose: func(*vaulttest.Server) {
				lost := leader()
				lost.Kill()
				t.Cleanup(func() { must(t, c.Return(context.Background(), lost)) })
			}, regain: func(*vaulttest.Server) {},
		},
		{
			name: "the leader steps down",
			lose: func(*vaulttest.Server) { _, err := c.StepDown(t.Context()); must(t, err) }, regain: func(*vaulttest.Server) {},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			node := leader()
			if test.follow {
				node = c.Followers(node)[0]
			}

			c.during(t, c.config(node, !test.single), func() { test.lose(node) })

			test.regain(node)
			must(t, c.Await(within(t, time.Minute), node))
		})
	}
}

// A node that answers reads by itself may lag behind: then it answers 412 to those who say
// what they have written.
func TestASessionReadsWhatItWrote(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	const index = "djE6Y2x1c3RlcjoyNzow:MDA="
	var behind atomic.Int64
	target, err := url.Parse(f.server.Addr)
	must(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(r *http.Response) error {
		if r.Request.Method == http.MethodPut {
			r.Header.Set("X-Vault-Index", index)
		}
		return nil
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.Header.Get("X-Vault-Index") == index && behind.Add(1) < 3 {
			w.WriteHeader(http.StatusPreconditionFailed)
			_, _ = w.Write([]byte(`{"errors":["required index state not present"]}`))
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.config.Address = server.URL
	c := f.open(t, f.rootAuth())
	_, err = c.Write(t.Context(), tenant, rotator.Document{Version: 1, Fields: map[string]any{"v": "2"}})
	must(t, err)

	doc, err := c.Read(t.Context(), tenant)

	if err != nil || doc.Version != 2 || behind.Load() != 3 {
		t.Errorf("got %+v, %v after %d tries; want version 2 after 3", doc, err, behind.Load())
	}
}
