package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/internal/cluster/natstest"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/vault/vaulttest"
)

// fleet is what a demo is about.
type fleet struct {
	servers   int // of Mailu
	tenants   []tenant
	malformed bool // some tenants are
	clustered bool // several processes do the work
}

// stage is the demo's environment.
type stage struct {
	fleet
	binary string
	dir    string // configuration and secret files, removed at the end
	config string
	vault  *vaulttest.Server
	client *api.Client // with the root token, for the demo's own checks
	mailus []*mailutest.Server
	nats   *natstest.Server // nil unless the fleet is clustered
}

func setUp(ctx context.Context, binary string, f fleet) (s *stage, err error) {
	s = &stage{fleet: f, binary: binary}
	defer func() {
		if err != nil {
			s.tearDown()
		}
	}()
	if s.binary, err = filepath.Abs(binary); err != nil {
		return s, err
	}
	if s.dir, err = os.MkdirTemp("", "mailu-rotator-demo-"); err != nil {
		return s, err
	}
	s.config = filepath.Join(s.dir, "config.yaml")
	for range f.servers {
		// Hashing costs as much as in a real Mailu.
		server, err := mailutest.Start(mailutest.Config{Rounds: 12})
		if err != nil {
			return s, err
		}
		s.mailus = append(s.mailus, server)
	}
	if s.vault, err = vaulttest.Start(ctx, vaulttest.Options{}); err != nil {
		return s, err
	}
	if err := s.vault.Provision(ctx, vaulttest.DefaultLayout()); err != nil {
		return s, err
	}
	if s.client, err = s.vault.Client(); err != nil {
		return s, err
	}
	if f.clustered {
		if s.nats, err = natstest.Start(ctx, natstest.Options{Dir: s.dir}); err != nil {
			return s, err
		}
	}
	if err := s.writeConfig(); err != nil {
		return s, err
	}
	if err := s.enableAppRole(ctx); err != nil {
		return s, err
	}
	return s, s.seed(ctx)
}

func (s *stage) tearDown() {
	if s.nats != nil {
		s.nats.Stop()
	}
	if s.vault != nil {
		s.vault.Stop()
	}
	for _, server := range s.mailus {
		server.Close()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

const vaultYAML = `vault:
  address: %s
  auth:
    method: approle
    role_id_file: role-id
    secret_id_file: secret-id
mailu:
  servers:
`

const serverYAML = `    - origin: %s
      token_file: mailu-token-%d
      timeout: 10s
`

const rotationYAML = `rotation:
  claim_ttl: 1m
`

// clusterYAML has times so short that a dead worker's tenants are not waited for long.
const clusterYAML = `rotation:
  claim_ttl: 12s
cluster:
  engine: nats
  servers: [%q]
  batch: 4
  ack_wait: 5s
listen:
  address: ""
`

func (s *stage) writeConfig() error {
	var text strings.Builder
	fmt.Fprintf(&text, vaultYAML, s.vault.Addr)
	for i, server := range s.mailus {
		fmt.Fprintf(&text, serverYAML, server.Origin(), i)
		if err := s.secretFile(fmt.Sprintf("mailu-token-%d", i), server.Token()); err != nil {
			return err
		}
	}
	if s.nats != nil {
		fmt.Fprintf(&text, clusterYAML, s.nats.URL)
	} else {
		text.WriteString(rotationYAML)
	}
	return os.WriteFile(s.config, []byte(text.String()), 0o600)
}

func (s *stage) secretFile(name, content string) error {
	return os.WriteFile(filepath.Join(s.dir, name), []byte(content+"\n"), 0o600)
}

// enableAppRole gives the program a login with exactly the policy that `mailu-rotator
// policy` prints.
func (s *stage) enableAppRole(ctx context.Context) error {
	policy, err := exec.CommandContext(ctx, s.binary, "policy", "--config", s.config).Output()
	if err != nil {
		return fmt.Errorf("mailu-rotator policy: %w", err)
	}
	if err := s.vault.WritePolicy(ctx, "mailu-rotator", string(policy)); err != nil {
		return err
	}
	if err := s.client.Sys().EnableAuthWithOptionsWithContext(ctx, "approle", &api.EnableAuthOptions{Type: "approle"}); err != nil {
		return fmt.Errorf("enable approle: %w", err)
	}
	logical := s.client.Logical()
	if _, err := logical.WriteWithContext(ctx, "auth/approle/role/mailu-rotator", map[string]any{"token_policies": "mailu-rotator", "token_ttl": "10m"}); err != nil {
		return fmt.Errorf("create role: %w", err)
	}
	role, err := logical.ReadWithContext(ctx, "auth/approle/role/mailu-rotator/role-id")
	if err != nil {
		return fmt.Errorf("read role-id: %w", err)
	}
	secret, err := logical.WriteWithContext(ctx, "auth/approle/role/mailu-rotator/secret-id", nil)
	if err != nil {
		return fmt.Errorf("create secret-id: %w", err)
	}
	if err := s.secretFile("role-id", role.Data["role_id"].(string)); err != nil {
		return err
	}
	return s.secretFile("secret-id", secret.Data["secret_id"].(string))
}

func (s *stage) describe() {
	fmt.Printf("Vault    %s, %d records under vault/smtp/, login by AppRole\n", s.vault.Addr, len(s.tenants))
	for _, server := range s.mailus {
		fmt.Printf("Mailu    %s\n", server.Origin())
	}
	if s.nats != nil {
		fmt.Printf("NATS     %s, with JetStream\n", s.nats.URL)
	}
}

func (s *stage) describeTenants() {
	fmt.Printf("\n%-38s%s\n", "TENANT", "STORY")
	for _, t := range s.tenants {
		fmt.Printf("%-38s%s\n", t.id, t.story)
	}
}

// invite prints what the user can try while everything still runs.
func (s *stage) invite() {
	headline("Left running until Ctrl-C; in another terminal:")
	program := s.binary + " --config " + s.config + " "
	var lines []string
	for _, c := range s.commands() {
		lines = append(lines, program+strings.Join(c.args, " "))
	}
	daemon := program + "       # the daemon; its page is at http://127.0.0.1:9180/"
	if s.clustered {
		daemon = program + "worker"
	}
	lines = append(lines,
		program+"--run-now --server "+s.mailus[0].Origin(),
		daemon,
		"curl -sH \"X-Vault-Token: "+s.vault.RootToken+"\" "+s.vault.Addr+"/v1/vault/data/smtp/"+s.tenants[0].id+"/admin",
		"curl -sH \"Authorization: Bearer "+s.mailus[0].Token()+"\" "+s.mailus[0].Origin()+"/api/v1/user/"+s.tenants[0].user,
	)
	fmt.Println("  " + strings.Join(lines, "\n  "))
}
