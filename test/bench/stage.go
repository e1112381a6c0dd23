package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/prometheus/procfs"

	"mailu-rotator/vault/vaulttest"
)

// workers is the number of concurrent requests to Vault: the program's default, and the
// setting of the programs that it is compared with.
const workers = 16

// stage is the environment of the measurements: a real Vault with storage in memory,
// which is the fastest and hides the least.
type stage struct {
	options
	dir    string // configurations and secrets; removed at the end
	self   string // this program, for its roles
	vault  *vaulttest.Server
	root   *api.Client
	http   *http.Client // for seeding
	seeded map[string]bool
}

func setUp(ctx context.Context, o options) (s *stage, err error) {
	s = &stage{options: o, seeded: map[string]bool{}}
	defer func() {
		if err != nil {
			s.tearDown()
		}
	}()
	if s.program, err = filepath.Abs(o.program); err != nil {
		return s, err
	}
	if s.self, err = os.Executable(); err != nil {
		return s, err
	}
	if s.dir, err = os.MkdirTemp("", "mailu-rotator-bench-"); err != nil {
		return s, err
	}
	s.http = newBaselineHTTP()
	if s.vault, err = vaulttest.Start(ctx, vaulttest.Options{}); err != nil {
		return s, err
	}
	if err = s.vault.Provision(ctx, vaulttest.DefaultLayout()); err != nil {
		return s, err
	}
	s.root, err = s.vault.Client()
	return s, err
}

// tearDown stops everything that is still running. The processes of a part have ended
// earlier.
func (s *stage) tearDown() {
	if s.vault != nil {
		s.vault.Stop()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// file writes a file of the stage, which may be a secret.
func (s *stage) file(name, content string) (string, error) {
	path := filepath.Join(s.dir, name)
	return path, os.WriteFile(path, []byte(content+"\n"), 0o600)
}

// allow creates a token with the program's own policy for this configuration. All
// compared programs use it, since Vault needs time to check a policy and none for a
// root token.
func (s *stage) allow(ctx context.Context, config, prefix string) (tokenFile string, err error) {
	policy, err := exec.CommandContext(ctx, s.program, "policy", "--config", config).Output()
	if err != nil {
		return "", fmt.Errorf("%s policy: %w", s.program, err)
	}
	if err := s.vault.WritePolicy(ctx, prefix, string(policy)); err != nil {
		return "", err
	}
	token, err := s.vault.Token(ctx, prefix)
	if err != nil {
		return "", err
	}
	return s.file(prefix+".token", token)
}

// host describes the machine on which the ratios are measured.
func (s *stage) host(ctx context.Context) (h host, err error) {
	health, err := s.root.Sys().HealthWithContext(ctx)
	if err != nil {
		return h, fmt.Errorf("ask vault for its version: %w", err)
	}
	toolchain, err := exec.CommandContext(ctx, "go", "version", s.program).Output()
	if err != nil {
		return h, fmt.Errorf("go version %s: %w", s.program, err)
	}
	_, goVersion, _ := strings.Cut(strings.TrimSpace(string(toolchain)), ": ")
	about, err := procfs.NewDefaultFS()
	if err != nil {
		return h, err
	}
	load, err := about.LoadAvg()
	if err != nil {
		return h, err
	}
	return host{
		Cores: allCores(), Go: goVersion, Vault: health.Version, Date: time.Now().UTC().Format(time.DateOnly), Load: load.Load1,
	}, nil
}
