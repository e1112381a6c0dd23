package vaulttest

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/test/authority"
	"mailu-rotator/test/child"
	"mailu-rotator/test/faultproxy"
)

// ClusterOptions configure a cluster. The zero value has three nodes that elect a leader
// within about two seconds.
type ClusterOptions struct {
	// Binary is a vault or bao; empty means the one that test/devstack/vault.sh finds.
	Binary string
	// Multiplier is raft's performance_multiplier, which scales the time until a lost
	// leader is noticed; 0 means 1, the shortest. Vault's default is 5.
	Multiplier int
	// Log receives the output of all nodes; nil drops it.
	Log io.Writer
}

// Cluster is a Vault of three nodes with Integrated Storage, on loopback with TLS. Its
// nodes die with this process.
//
// Each node is a Server with everything that one can do: Kill and Restart, Seal and
// Unseal, Pause and Continue. What a standby is asked it forwards to the active node.
type Cluster struct {
	Nodes     []*Server
	RootToken string
	CACert    string // PEM file of the CA of all nodes

	CAs *x509.CertPool // the same

	dir string
}

// clusterSize is the smallest number of nodes that survives the loss of one.
const clusterSize = 3

// StartCluster starts the nodes and returns when all are unsealed and one is active. The
// context bounds the start, not the cluster's life.
func StartCluster(ctx context.Context, o ClusterOptions) (*Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*startTimeout)
	defer cancel()
	c := &Cluster{}
	if err := c.start(ctx, o); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

// RunCluster starts a cluster for one test and stops it at the end of the test. On an
// error it fails the test; it never skips.
func RunCluster(t testing.TB, o ClusterOptions) *Cluster {
	t.Helper()
	c, err := StartCluster(t.Context(), o)
	if err != nil {
		t.Fatalf("start a vault cluster: %v", err)
	}
	t.Cleanup(c.Stop)
	return c
}

func (c *Cluster) start(ctx context.Context, o ClusterOptions) (err error) {
	if c.dir, err = os.MkdirTemp("", "vaulttest-cluster-"); err != nil {
		return fmt.Errorf("make a directory for vault: %w", err)
	}
	ca, err := authority.New(c.dir, "vaulttest CA")
	if err != nil {
		return err
	}
	c.CACert, c.CAs = ca.CertFile, ca.Pool
	binary, err := child.Binary(ctx, "vault", o.Binary)
	if err != nil {
		return err
	}
	for i := range clusterSize {
		id := fmt.Sprintf("node-%d", i+1)
		s := &Server{
			opts:   Options{Dir: filepath.Join(c.dir, id), TLS: true, Log: o.Log},
			layout: DefaultLayout(), ca: ca, binary: binary,
			node: &node{cluster: c, id: id, multiplier: max(o.Multiplier, 1)},
		}
		if err := s.prepare(); err != nil {
			return err
		}
		if err := os.MkdirAll(s.data(), 0o700); err != nil { // raft does not make it
			return fmt.Errorf("make a directory for vault: %w", err)
		}
		if err := s.launch(ctx); err != nil {
			return err
		}
		c.Nodes = append(c.Nodes, s)
		if err := c.admit(ctx, s); err != nil {
			return fmt.Errorf("prepare %s at %s: %w", id, s.Addr, err)
		}
	}
	c.RootToken = c.Nodes[0].RootToken
	return c.awaitVoters(ctx)
}

// awaitVoters waits until every node has a vote: Vault gives it one once it was stable for
// a while. Before, no leader but the first is possible.
func (c *Cluster) awaitVoters(ctx context.Context) error {
	client, err := c.Client() // on a loaded machine the leader may change already
	if err != nil {
		return err
	}
	const autopilot, configuration = "sys/storage/raft/autopilot/configuration", "sys/storage/raft/configuration"
	if _, err := client.Logical().WriteWithContext(ctx, autopilot, map[string]any{"server_stabilization_time": "100ms"}); err != nil {
		return fmt.Errorf("shorten raft's probation: %w", err)
	}
	for {
		peers, err := client.Logical().ReadWithContext(ctx, configuration)
		if err != nil {
			return fmt.Errorf("read raft's configuration: %w", err)
		}
		if text, _ := json.Marshal(peers.Data); strings.Count(string(text), `"voter":true`) == len(c.Nodes) {
			return nil
		}
		if err := shortPause(ctx); err != nil {
			return fmt.Errorf("wait until every node has a vote: %w", err)
		}
	}
}

// admit initialises the first node; every other one joins it.
func (c *Cluster) admit(ctx context.Context, s *Server) error {
	first := c.Nodes[0]
	if s == first {
		if err := s.open(ctx); err != nil {
			return err
		}
		_, err := c.Leader(ctx)
		return err
	}
	s.unsealKey, s.RootToken = first.unsealKey, first.RootToken
	client, err := s.Client()
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(c.CACert)
	if err != nil {
		return err
	}
	joined, err := client.Sys().RaftJoinWithContext(ctx, &api.RaftJoinRequest{LeaderAPIAddr: first.Addr, LeaderCACert: string(ca)})
	if err != nil || !joined.Joined {
		return fmt.Errorf("join the cluster: %v, %w", joined, err)
	}
	// The answer still says sealed: the node is unsealed once it has the data.
	if _, err := client.Sys().UnsealWithContext(ctx, s.unsealKey); err != nil {
		return fmt.Errorf("unseal: %w", err)
	}
	return c.await(ctx, s, "the node follows the leader", func(h *api.HealthResponse) bool { return !h.Sealed && h.Standby })
}

// Stop ends all nodes and removes their files.
func (c *Cluster) Stop() {
	for _, s := range c.Nodes {
		s.Kill() // nothing is to outlive it
		s.node.close()
	}
	if c.dir != "" {
		_ = os.RemoveAll(c.dir)
	}
}

// Addresses returns the addresses of all nodes.
func (c *Cluster) Addresses() []string {
	var all []string
	for _, s := range c.Nodes {
		all = append(all, s.Addr)
	}
	return all
}

// Leader returns the active node. It waits until there is exactly one: a node that lost
// its peers is active until it notices that.
func (c *Cluster) Leader(ctx context.Context) (*Server, error) {
	for {
		var active []*Server
		for _, s := range c.Nodes {
			if h, err := health(ctx, s); err == nil && h.Initialized && !h.Sealed && !h.Standby {
				active = append(active, s)
			}
		}
		if len(active) == 1 {
			return active[0], nil
		}
		if err := shortPause(ctx); err != nil {
			return nil, fmt.Errorf("wait for a leader among %s: %w", strings.Join(c.Addresses(), ", "), err)
		}
	}
}

// Followers returns the other nodes than the leader, in order, whatever their state.
func (c *Cluster) Followers(leader *Server) []*Server {
	var all []*Server
	for _, s := range c.Nodes {
		if s != leader {
			all = append(all, s)
		}
	}
	return all
}

// StepDown has the active node give up, and returns the next one. That may be the same one
// again, but Vault keeps it from serving for ten seconds.
func (c *Cluster) StepDown(ctx context.Context) (next *Server, err error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return nil, err
	}
	client, err := leader.Client()
	if err != nil {
		return nil, err
	}
	if err := client.Sys().StepDownWithContext(ctx); err != nil {
		return nil, fmt.Errorf("step down: %w", err)
	}
	return c.Leader(ctx)
}

// Isolate cuts a node off the other nodes, in both directions. Clients still reach it.
func (c *Cluster) Isolate(s *Server) error {
	s.node.link.Cut()
	var errs []error
	for _, other := range c.Followers(s) {
		errs = append(errs, other.node.link.CutFrom(s.PID()))
	}
	return errors.Join(errs...)
}

// Heal ends every isolation.
func (c *Cluster) Heal() {
	for _, s := range c.Nodes {
		s.node.link.Heal()
	}
}

// Return restarts a node that was killed, and waits until it follows the leader again, or
// is it.
func (c *Cluster) Return(ctx context.Context, s *Server) error {
	if err := s.Restart(ctx); err != nil {
		return err
	}
	return c.Await(ctx, s)
}

// Await waits until a node serves: active, or as a standby of a leader; two minutes at most.
func (c *Cluster) Await(ctx context.Context, s *Server) error {
	return c.awaitFor(ctx, 2*time.Minute, s)
}

func (c *Cluster) awaitFor(ctx context.Context, limit time.Duration, s *Server) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return c.await(ctx, s, "the node serves", func(h *api.HealthResponse) bool {
		return !h.Sealed && (!h.Standby || knowsLeader(ctx, s))
	})
}

// Snapshot returns a snapshot of the storage.
func (c *Cluster) Snapshot(ctx context.Context) ([]byte, error) {
	client, err := c.atLeader(ctx)
	if err != nil {
		return nil, err
	}
	var snapshot bytes.Buffer
	if err := client.Sys().RaftSnapshotWithContext(ctx, &snapshot); err != nil {
		return nil, fmt.Errorf("take a snapshot: %w", err)
	}
	return snapshot.Bytes(), nil
}

// Restore replaces everything in the storage by a snapshot of the same cluster, and waits
// until that is served. A node that the snapshot has left without a leader is restarted:
// Vault 1.21.0 rarely leaves a standby so for good.
func (c *Cluster) Restore(ctx context.Context, snapshot []byte) error {
	client, err := c.atLeader(ctx)
	if err != nil {
		return err
	}
	if err := client.Sys().RaftSnapshotRestoreWithContext(ctx, bytes.NewReader(snapshot), false); err != nil {
		return fmt.Errorf("restore a snapshot: %w", err)
	}
	for _, s := range c.Nodes {
		if c.awaitFor(ctx, 30*time.Second, s) == nil {
			continue
		}
		s.Kill()
		if err := c.Return(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) atLeader(ctx context.Context) (*api.Client, error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return nil, err
	}
	return leader.Client()
}

func (c *Cluster) await(ctx context.Context, s *Server, what string, ready func(*api.HealthResponse) bool) error {
	for {
		h, err := health(ctx, s)
		if err == nil && ready(h) {
			return nil
		}
		if pauseErr := shortPause(ctx); pauseErr != nil {
			return fmt.Errorf("wait until %s: %w; its health: %+v, %w", what, pauseErr, h, err)
		}
	}
}

func health(ctx context.Context, s *Server) (*api.HealthResponse, error) {
	client, err := s.Client()
	if err != nil {
		return nil, err
	}
	client.SetClientTimeout(time.Second) // a paused node does not answer
	return client.Sys().HealthWithContext(ctx)
}

func knowsLeader(ctx context.Context, s *Server) bool {
	client, err := s.Client()
	if err != nil {
		return false
	}
	client.SetClientTimeout(time.Second)
	leader, err := client.Sys().LeaderWithContext(ctx)
	return err == nil && leader.LeaderAddress != ""
}

func shortPause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(20 * time.Millisecond):
		return nil
	}
}

// node is what a Server has as a member of a cluster.
type node struct {
	cluster    *Cluster
	id         string
	multiplier int
	listen     string           // where it listens for its peers
	link       *faultproxy.Link // through which they reach it
}

// connect chooses the node's port for its peers.
func (n *node) connect() (err error) {
	n.close()
	if n.listen, err = child.FreePort(); err != nil {
		return err
	}
	n.link, err = faultproxy.NewLink(n.listen)
	return err
}

func (n *node) close() {
	if n.link != nil {
		n.link.Close()
	}
}

// config returns the storage stanza, with what comes after it, and the listener's part.
func (n *node) config(data string) (storage, listener string) {
	storage = fmt.Sprintf("cluster_addr = \"https://%s\"\nstorage \"raft\" {\n  path = %q\n  node_id = %q\n  performance_multiplier = %d\n  autopilot_update_interval = \"100ms\"\n  autopilot_reconcile_interval = \"100ms\"\n}",
		n.link.Addr, data, n.id, n.multiplier)
	return storage, fmt.Sprintf("cluster_address = %q", n.listen)
}
