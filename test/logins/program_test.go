package logins

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/vault/vaulttest"
)

// program is the real one, with a real Vault and the world's Mailu.
type program struct {
	*world
	binary, dir string
	vault       *vaulttest.Server
}

func newProgram(t *testing.T, w *world) *program {
	t.Helper()
	p := &program{world: w, dir: t.TempDir(), vault: vaulttest.Run(t, vaulttest.Options{})}
	p.binary = filepath.Join(p.dir, "mailu-rotator")
	build := exec.Command("go", "build", "-o", p.binary, "../../cmd/mailu-rotator")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	must(t, p.vault.Provision(t.Context(), vaulttest.DefaultLayout()))
	must(t, os.WriteFile(filepath.Join(p.dir, "token"), []byte(w.Mailu.Token()), 0o600))
	return p
}

// configure names these mail services in the configuration.
func (p *program) configure(t *testing.T, smtp, imap string) {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"vault": map[string]any{"address": p.vault.Addr},
		"mailu": map[string]any{"servers": []any{map[string]any{
			"origin": p.Mailu.Origin(), "ca_file": p.CA.CertFile, "token_file": "token",
			"login": map[string]any{"smtp": smtp, "imap": imap},
		}}},
		"listen": map[string]any{"address": ""},
	})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(p.dir, "config.yaml"), text, 0o600))
}

// run returns the exit status and the JSON document.
func (p *program) run(t *testing.T, args ...string) (status int, doc document) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.binary, append(args, "--config", filepath.Join(p.dir, "config.yaml"), "--output", "json")...)
	cmd.Env = append(os.Environ(), "VAULT_TOKEN="+p.vault.RootToken)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if failed, is := errors.AsType[*exec.ExitError](err); is {
		status = failed.ExitCode()
	} else {
		must(t, err)
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		t.Fatalf("%v: %v\n%s\n%s", args, err, out, stderr.Bytes())
	}
	return status, doc
}

// add adds a tenant, the first or another one.
func (p *program) add(t *testing.T, user string, first bool) {
	t.Helper()
	args := []string{"tenant", "add", "--user", user, "--webmail-url", p.Mailu.Origin()}
	if first {
		args = append(args, "--first")
	}
	if status, doc := p.run(t, args...); status != 0 {
		t.Fatalf("add %s: status %d, %+v", user, status, doc)
	}
}

type document struct {
	Failures int
	Problems int
	Tenants  []struct{ Tenant, User, Outcome, State, Login, Reason string }
	Checks   []struct{ Section, Name, State, Found string }
}

// count is the number of tenants in the state of a verification.
func (d document) count(state string) (n int) {
	for _, tenant := range d.Tenants {
		if tenant.State == state {
			n++
		}
	}
	return n
}

func TestTheProgramLogsIn(t *testing.T) {
	w := newWorld(t, mailutest.Config{})
	p := newProgram(t, w)
	p.configure(t, w.SMTPS, "starttls://"+w.IMAP)
	var users []string
	for n := range 3 {
		users = append(users, fmt.Sprintf("admin@%d.example", n))
		w.Mailu.AddUser(users[n], "the old password")
		p.add(t, users[n], n == 0)
	}
	logins := func() (all []bool) {
		for _, user := range users {
			all = append(all, w.Mailu.Logins(user)...)
		}
		return all
	}
	sets := func() (n int) {
		for _, user := range users {
			n += w.Mailu.PasswordSets(user)
		}
		return n
	}

	t.Run("with the canary of a run", func(t *testing.T) {
		before := len(logins())
		status, doc := p.run(t, "--run-now", "--yes")
		if status != 0 || doc.Tenants[0].Login != "accepted" || doc.Tenants[1].Login != "" || !slices.Equal(logins()[before:], []bool{true, true}) {
			t.Errorf("status %d, logins %v: %+v", status, logins()[before:], doc.Tenants)
		}
	})
	t.Run("in a verification", func(t *testing.T) {
		before := len(logins())
		status, doc := p.run(t, "verify")
		if status != 0 || doc.count("ok") != 3 || len(logins())-before != 6 {
			t.Errorf("status %d, logins %v: %+v", status, logins()[before:], doc.Tenants)
		}
	})
	t.Run("an expired certificate is found", func(t *testing.T) {
		p.configure(t, w.SMTPS, w.IMAPExpired)
		before := sets()
		status, doc := p.run(t, "verify", "--repair")
		if status != 2 || doc.count("login not possible") != 1 || doc.count("ok") != 2 || sets() != before {
			t.Errorf("status %d: %+v", status, doc.Tenants)
		}
		if status, doc = p.run(t, "--run-now", "--yes"); status != 2 || doc.Failures != 0 || doc.Tenants[0].Login != "not possible" || doc.Tenants[2].Outcome != "rotated" {
			t.Errorf("status %d: %+v", status, doc.Tenants)
		}
		status, doc = p.run(t, "doctor")
		found := ""
		for _, check := range doc.Checks {
			if check.Section == "Mailu" {
				found += check.Name + ": " + check.State + " " + check.Found + "\n"
			}
		}
		if status != 2 || !strings.Contains(found, "SMTP "+w.SMTPS+": ok answers, no login was tried") || !strings.Contains(found, "IMAP "+w.IMAPExpired+": failed") || !strings.Contains(found, "expired") {
			t.Errorf("status %d, doctor says\n%s", status, found)
		}
	})
}

// The state is its own, and no password changes because of it.
func TestTheProgramWhereTokensAreRequired(t *testing.T) {
	w := newWorld(t, mailutest.Config{RequireTokens: true})
	p := newProgram(t, w)
	p.configure(t, "", "")
	w.Mailu.AddUser(admin, "the old password")
	p.add(t, admin, true)
	p.configure(t, w.SMTPS, w.IMAPS)
	sets := w.Mailu.PasswordSets(admin)

	status, doc := p.run(t, "verify", "--repair")

	if status != 2 || doc.Problems != 1 || doc.Tenants[0].State != "login refused" || !strings.Contains(doc.Tenants[0].Reason, "AUTH_REQUIRE_TOKENS") {
		t.Errorf("status %d: %+v", status, doc.Tenants)
	}
	if got := w.Mailu.PasswordSets(admin); got != sets {
		t.Errorf("a refused login led to %d pushes", got-sets)
	}
	if got := w.Mailu.Logins(admin); !slices.Equal(got, []bool{false}) {
		t.Errorf("logins %v, want one", got)
	}
	if status, doc = p.run(t, "--run-now", "--yes"); status != 2 || doc.Failures != 0 || doc.Tenants[0].Outcome != "rotated" || doc.Tenants[0].Login != "refused" {
		t.Errorf("status %d: %+v", status, doc.Tenants)
	}
}
