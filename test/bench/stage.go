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

// workers is how many requests to Vault everybody here has under way at a time:
// the program by its configuration's default, and those that it is compared with.
const workers = 16

// stage is what is measured on: a real Vault whose storage is memory, which is
// the quickest and so leaves the least to hide behind.
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
	s.http = newBareClient()
	if s.vault, err = vaulttest.Start(ctx, vaulttest.Options{}); err != nil {
		return s, err
	}
	if err = s.vault.Provision(ctx, vaulttest.DefaultLayout()); err != nil {
		return s, err
	}
	s.root, err = s.vault.Client()
	return s, err
}

// tearDown ends all that is left. The processes of a part have ended by then.
func (s *stage) tearDown() {
	if s.vault != nil {
		s.vault.Stop()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// file writes a file of the stage, a secret perhaps.
func (s *stage) file(name, content string) (string, error) {
	path := filepath.Join(s.dir, name)
	return path, os.WriteFile(path, []byte(content+"\n"), 0o600)
}

// allow makes a token that may do what the program's own policy for this
// configuration says. Everybody who is compared uses it, since checking a policy
// takes Vault some time and a root token spares it that.
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

// host is what the ratios were taken on.
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
