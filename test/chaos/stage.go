package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/internal/cluster/natstest"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/vault/vaulttest"
)

// options configure a run. Seed determines the random targets and waits; the machine's
// scheduling stays random.
type options struct {
	duration time.Duration // of the faults
	patience time.Duration // how much longer to wait until everything has occurred; 0: not at all
	seed     uint64
	tenants  int      // how many
	nights   int      // after the faults, see night
	cluster  bool     // several hosts, which NATS connects, see cluster.go
	raft     bool     // a Vault of three nodes, see failover.go
	changes  []change // to the program; none: the shipped one
}

const (
	mailuServers = 3
	// A claim lasts a few seconds, so that those of killed processes expire during the
	// run. A tenth of it is the margin of a push, so no effect may come later than
	// that, see lateAtMost.
	claimTTL   = 4 * time.Second
	lateAtMost = claimTTL / 10 * 3 / 4
	// A host with a wrong clock uses Vault's whole seconds, and so is up to a second
	// late: the margin must be longer than that.
	steppedClaimTTL = 12 * time.Second
)

// stage is a run's environment: the servers, the tenants, the processes.
type stage struct {
	options
	dir       string             // programs, configurations, secrets, Vault's data; removed at the end
	program   string             // the binary
	vault     *vaulttest.Server  // of a cluster, the node that was prepared
	nodes     *vaulttest.Cluster // nil if it is a single node
	nats      *natstest.Server   // nil without a cluster
	root      *api.Client
	eyes      *reader
	mailus    []*mailutest.Server
	aliases   map[*mailutest.Server]string // a second origin of each
	meters    map[*mailutest.Server]*meter // with a cluster
	runs      runs                         // of emergencies, with a cluster
	leaks     leaks
	tenants   []*tenant
	byID      map[string]*tenant
	observer  *observer
	processes []*process
	clock     steppedClock
	tally     *tally
	began     time.Time

	rivalries atomic.Int64 // currently open
}

func setUp(ctx context.Context, o options) (s *stage, err error) {
	s = &stage{
		options: o, byID: map[string]*tenant{}, aliases: map[*mailutest.Server]string{}, meters: map[*mailutest.Server]*meter{},
		observer: newObserver(), tally: newTally(), began: time.Now(),
	}
	defer func() {
		if err != nil {
			s.tearDown()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "mailu-rotator-chaos-"); err != nil {
		return s, err
	}
	if err = s.leaks.open(s.dir); err != nil {
		return s, err
	}
	if s.program, err = build(ctx, s.dir, "mailu-rotator", o.changes...); err != nil {
		return s, err
	}
	if err = s.startServers(ctx); err != nil {
		return s, err
	}
	if err = s.enableAppRole(ctx); err != nil {
		return s, err
	}
	if err = s.seedTenants(ctx); err != nil {
		return s, err
	}
	return s, s.prepareProcesses(ctx)
}

// tearDown stops everything that setUp started. The processes have already ended: none
// outlives the function that starts it.
func (s *stage) tearDown() {
	for _, p := range s.processes {
		for _, g := range p.gates {
			g.Close()
		}
		p.closeCluster()
	}
	if s.nats != nil {
		s.nats.Stop()
	}
	switch {
	case s.nodes != nil:
		s.nodes.Stop()
	case s.vault != nil:
		s.vault.Stop()
	}
	for _, server := range s.mailus {
		server.Close()
	}
	s.leaks.close()
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

func (s *stage) startServers(ctx context.Context) (err error) {
	for range mailuServers {
		// Cheap hashes, and no limit for wrong tokens, because none are sent.
		server, err := mailutest.Start(mailutest.Config{Rounds: 4, RateLimit: -1})
		if err != nil {
			return err
		}
		s.mailus = append(s.mailus, server)
		if s.aliases[server], err = server.AddHostname(); err != nil {
			return err
		}
	}
	if err := s.startVault(ctx); err != nil {
		return err
	}
	if s.cluster {
		if s.nats, err = natstest.Start(ctx, natstest.Options{Dir: filepath.Join(s.dir, "nats")}); err != nil {
			return err
		}
	}
	layout := vaulttest.DefaultLayout()
	if err := s.vault.Provision(ctx, layout); err != nil {
		return err
	}
	// The audit needs the whole history.
	if _, err := s.root.Logical().WriteWithContext(ctx, layout.Mount+"/config", map[string]any{"max_versions": 100_000}); err != nil {
		return fmt.Errorf("keep all versions: %w", err)
	}
	s.eyes, err = newReader(ctx, s.root, layout)
	return err
}

// startVault also makes the client of this run, which no fault of a node hinders for long.
func (s *stage) startVault(ctx context.Context) (err error) {
	if !s.raft {
		if s.vault, err = vaulttest.Start(ctx, vaulttest.Options{Dir: filepath.Join(s.dir, "vault")}); err != nil {
			return err
		}
		s.root, err = s.vault.Client()
		return err
	}
	if s.nodes, err = vaulttest.StartCluster(ctx, vaulttest.ClusterOptions{}); err != nil {
		return err
	}
	if s.vault, err = s.nodes.Leader(ctx); err != nil {
		return err
	}
	s.root, err = s.nodes.Client()
	return err
}

// vaults are the addresses of Vault.
func (s *stage) vaults() []string {
	if s.nodes == nil {
		return []string{s.vault.Addr}
	}
	return s.nodes.Addresses()
}

// enableAppRole gives the program a login with exactly the policy that `mailu-rotator
// policy` prints.
func (s *stage) enableAppRole(ctx context.Context) error {
	if err := s.writeConfig(s.restConfig(), s.vaults(), s.origins(), s.natsURL(), allTheTime(steppedClaimTTL)); err != nil {
		return err
	}
	policy, err := exec.CommandContext(ctx, s.program, "policy", "--config", s.restConfig()).Output()
	if err != nil {
		return fmt.Errorf("mailu-rotator policy: %w", err)
	}
	if err := s.vault.WritePolicy(ctx, "mailu-rotator", string(policy)); err != nil {
		return err
	}
	if err := s.root.Sys().EnableAuthWithOptionsWithContext(ctx, "approle", &api.EnableAuthOptions{Type: "approle"}); err != nil {
		return fmt.Errorf("enable approle: %w", err)
	}
	logical := s.root.Logical()
	const role = "auth/approle/role/mailu-rotator"
	if _, err := logical.WriteWithContext(ctx, role, map[string]any{"token_policies": "mailu-rotator", "token_ttl": "10m"}); err != nil {
		return fmt.Errorf("create role: %w", err)
	}
	id, err := logical.ReadWithContext(ctx, role+"/role-id")
	if err != nil {
		return fmt.Errorf("read role-id: %w", err)
	}
	secret, err := logical.WriteWithContext(ctx, role+"/secret-id", nil)
	if err != nil {
		return fmt.Errorf("create secret-id: %w", err)
	}
	for name, content := range map[string]any{"role-id": id.Data["role_id"], "secret-id": secret.Data["secret_id"], "mailu-token": s.mailus[0].Token()} {
		if err := os.WriteFile(filepath.Join(s.dir, name), fmt.Appendln(nil, content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// caFile is of the authority that signed the certificates of Vault's nodes.
func (s *stage) caFile() string {
	if s.nodes == nil {
		return ""
	}
	return s.nodes.CACert
}

// restConfig is for undisturbed runs: it uses no proxies.
func (s *stage) restConfig() string { return filepath.Join(s.dir, "rest.yaml") }

func (s *stage) origins() []string {
	var all []string
	for _, server := range s.mailus {
		all = append(all, server.Origin())
	}
	return all
}

// rotation is the part of a configuration that differs between processes.
type rotation struct {
	Schedule string `json:"schedule"`
	Jitter   string `json:"jitter"`
	Window   string `json:"window"`
	ClaimTTL string `json:"claim_ttl"`
	Grace    string `json:"shutdown_grace"`
}

func allTheTime(claim time.Duration) rotation {
	return rotation{Schedule: "@every 1s", Jitter: "0s", Window: "6h", ClaimTTL: claim.String(), Grace: "5s"}
}

// writeConfig writes a configuration, as JSON, which is YAML. apis are the addresses of
// the Mailu servers; nats is empty without a cluster.
func (s *stage) writeConfig(file string, vaults, apis []string, nats string, r rotation) error {
	var servers []any
	for i, server := range s.mailus {
		for _, origin := range []string{server.Origin(), s.aliases[server]} {
			servers = append(servers, map[string]any{
				"origin": origin, "api_url": apis[i] + "/api/v1", "token_file": "mailu-token", "timeout": "1s", "max_concurrent": s.maxConcurrent(),
			})
		}
	}
	settings := map[string]any{
		"vault": map[string]any{
			"address": vaults[0], "other_addresses": vaults[1:], "ca_file": s.caFile(),
			"auth": map[string]any{"method": "approle", "role_id_file": "role-id", "secret_id_file": "secret-id"},
		},
		"mailu":    map[string]any{"servers": servers},
		"rotation": r,
		"verify":   map[string]any{"schedule": ""},
		"listen":   map[string]any{"address": ""}, // the daemons would use the same port
		"log":      map[string]any{"level": "debug", "format": "json"},
	}
	if nats != "" {
		settings["cluster"] = map[string]any{"engine": "nats", "servers": []string{nats}, "batch": clusterBatch, "ack_wait": ackWait.String()}
	}
	text, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// prepareProcesses creates two daemons, one of them with a stepped clock, and an
// emergency run that restarts whenever it has ended.
func (s *stage) prepareProcesses(ctx context.Context) error {
	if s.cluster {
		return s.prepareCluster()
	}
	s.clock = steppedClock{file: filepath.Join(s.dir, "offset")}
	stepped, err := build(ctx, s.dir, "mailu-rotator-stepped", append(s.clock.changes(), s.changes...)...)
	if err != nil {
		return err
	}
	for _, p := range []*process{
		{name: "daemon 1, whose standard error loses its reader", binary: s.program, daemon: true, deaf: true},
		{name: "daemon 2, on a stepped clock", binary: stepped, daemon: true},
		{name: "run-now", binary: s.program, args: []string{"--run-now"}},
	} {
		p.mailus = s.origins()
		if err := s.equip(p, len(s.processes)); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) equip(p *process, n int) error {
	s.processes = append(s.processes, p)
	p.log = s.newLog()
	var urls []string
	vaults := len(s.vaults())
	for _, target := range append(s.vaults(), p.mailus...) {
		g, err := s.newGate(target)
		if err != nil {
			return err
		}
		p.gates = append(p.gates, g)
		urls = append(urls, g.URL)
	}
	p.atVault, p.atMailu = p.gates[:vaults], p.gates[vaults:]
	claim := claimTTL
	if p.binary != s.program {
		claim = steppedClaimTTL
	}
	config := filepath.Join(s.dir, fmt.Sprintf("process-%d.yaml", n))
	p.args = append(p.args, "--config", config)
	if s.cluster {
		return s.writeConfig(config, urls[:vaults], urls[vaults:], "nats://"+p.link.Addr, clusterRotation())
	}
	return s.writeConfig(config, urls[:vaults], urls[vaults:], "", allTheTime(claim))
}

func (s *stage) newLog() *eventLog { return &eventLog{tally: s.tally, copy: &s.leaks} }
