package readers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/crypto"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
	"mailu-rotator/test/vaultread"
	"mailu-rotator/vault/vaulttest"
)

// stage is a Vault, a Mailu, and the real program's configuration for both.
type stage struct {
	kit
	dir        string
	vault      *vaulttest.Server
	root       *api.Client
	mailu      *mailutest.Server
	submission string // host:port
	trusted    string // file: the authorities of both servers

	mu      sync.Mutex
	tenants int
	before  map[string]func() (reply string) // by user: what happens between reading and logging in
}

func newStage(t *testing.T, k kit, hashing time.Duration) *stage {
	t.Helper()
	s := &stage{kit: k, dir: t.TempDir(), before: map[string]func() string{}}
	s.vault = vaulttest.Run(t, vaulttest.Options{TLS: true})
	must(t, s.vault.Provision(t.Context(), vaulttest.DefaultLayout()))
	var err error
	s.root, err = s.vault.Client()
	must(t, err)
	s.mailu = mailutest.Run(t, mailutest.Config{TLS: true, HashDelay: hashing, Workers: 16})
	s.submission, err = s.mailu.AddSubmission(s.beforeLogin)
	must(t, err)
	authority, err := os.ReadFile(s.vault.CACert)
	must(t, err)
	s.trusted = s.write(t, "trusted.pem", append(authority, s.mailu.CAPEM()...))
	must(t, s.root.Sys().EnableAuthWithOptionsWithContext(t.Context(), "approle", &api.EnableAuthOptions{Type: "approle"}))
	s.configure(t)
	return s
}

// configure gives the real program its configuration and login.
func (s *stage) configure(t *testing.T) {
	t.Helper()
	role := filepath.Join(s.dir, "rotator")
	text, err := json.Marshal(map[string]any{
		"vault": map[string]any{
			"address": s.vault.Addr, "ca_file": s.trusted,
			"auth": map[string]any{"method": "approle", "role_id_file": filepath.Join(role, "role-id"), "secret_id_file": filepath.Join(role, "secret-id")},
		},
		"mailu": map[string]any{"servers": []any{map[string]any{
			"origin": s.mailu.Origin(), "ca_file": s.trusted, "token_file": s.write(t, "mailu-token", []byte(s.mailu.Token())), "max_concurrent": *atATime,
		}}},
		"verify": map[string]any{"schedule": ""},
		"listen": map[string]any{"address": ""},
	})
	must(t, err)
	s.write(t, "config.yaml", text)
	s.role(t, "rotator", "", map[string]any{"token_ttl": "1h"})
}

// program runs the real program, which must succeed.
func (s *stage) program(ctx context.Context, args ...string) (stdout []byte, err error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, s.rotator, append(args, "--config", filepath.Join(s.dir, "config.yaml"))...)
	cmd.Stderr = &stderr
	if stdout, err = cmd.Output(); err != nil {
		return stdout, fmt.Errorf("mailu-rotator %v: %w\n%s%s", args, err, stdout, stderr.Bytes())
	}
	return stdout, nil
}

// role makes an AppRole with the policy that the program prints with this option, and
// returns the directory with its credentials.
func (s *stage) role(t *testing.T, name, option string, settings map[string]any) (directory string) {
	t.Helper()
	args := []string{"policy"}
	if option != "" {
		args = append(args, option)
	}
	policy, err := s.program(t.Context(), args...)
	must(t, err)
	must(t, s.vault.WritePolicy(t.Context(), name, string(policy)))
	settings["token_policies"] = name
	path := "auth/approle/role/" + name
	_, err = s.root.Logical().WriteWithContext(t.Context(), path, settings)
	must(t, err)
	id, err := s.root.Logical().ReadWithContext(t.Context(), path+"/role-id")
	must(t, err)
	secret, err := s.root.Logical().WriteWithContext(t.Context(), path+"/secret-id", nil)
	must(t, err)
	directory = filepath.Join(s.dir, name)
	must(t, os.Mkdir(directory, 0o700))
	s.write(t, name+"/role-id", fmt.Appendln(nil, id.Data["role_id"]))
	s.write(t, name+"/secret-id", fmt.Appendln(nil, secret.Data["secret_id"]))
	return directory
}

// readerRole is a role of readers: the printed policy is all that its tokens have.
func (s *stage) readerRole(t *testing.T, name, ttl string) (directory string) {
	t.Helper()
	return s.role(t, name, "--reader", map[string]any{"token_ttl": ttl, "token_no_default_policy": true})
}

// environment is that of a reader with these credentials.
func (s *stage) environment(credentials string) []string {
	return environmentOf(s.vault.Addr, credentials, s.submission, s.trusted)
}

func environmentOf(vault, credentials, submission, trusted string) []string {
	return []string{
		"VAULT_ADDR=" + vault, "CREDENTIALS_DIRECTORY=" + credentials, "MAIL_SERVER=" + submission,
		"SSL_CERT_FILE=" + trusted, "NODE_EXTRA_CA_CERTS=" + trusted, "NO_OTHER_USERS=yes",
	}
}

func (s *stage) write(t *testing.T, name string, content []byte) (file string) {
	t.Helper()
	file = filepath.Join(s.dir, name)
	must(t, os.WriteFile(file, content, 0o600))
	return file
}

// tenant is a record in Vault and its user in Mailu.
type tenant struct {
	*stage
	t        *testing.T
	id, user string
	fields   map[string]any
}

// The passwords of tenants.
const first, second = "the-1st-pw.of-them", "the-2nd-pw.of-them"

// add makes a tenant at rest, whose current password is the first.
func (s *stage) add(t *testing.T) *tenant {
	t.Helper()
	s.mu.Lock()
	s.tenants++
	user := fmt.Sprintf("admin@%d.example", s.tenants)
	s.mu.Unlock()
	a := &tenant{stage: s, t: t, id: string(rotator.NewTenantID(rotator.Address(user), 0)), user: user}
	a.fields = a.seal(first)
	a.fields["username"], a.fields["webmail_url"], a.fields["rotation_policy"] = user, s.mailu.Origin(), "90_days"
	a.fields["team"] = map[string]any{"password": "of somebody else"}
	s.mailu.AddUser(user, first)
	a.put()
	return a
}

func (a *tenant) put() {
	a.t.Helper()
	must(a.t, a.vault.Put(a.t.Context(), vaulttest.DefaultLayout().Path(a.id), a.fields))
}

// seal returns the fields that hold a password, under the newest master key.
func (a *tenant) seal(password string) map[string]any {
	a.t.Helper()
	return a.sealAt(time.Now().UTC().Format(time.RFC3339Nano), password)
}

func (a *tenant) sealAt(at, password string) map[string]any {
	a.t.Helper()
	keys, err := vaultread.MasterKeys(a.t.Context(), a.root, "transit", "smtp-master")
	must(a.t, err)
	ring, err := crypto.NewKeyring(keys)
	must(a.t, err)
	sealed, version, err := ring.Seal(crypto.Binding{TenantID: a.id, LastRotated: at}, crypto.SecretFromString(password))
	must(a.t, err)
	return map[string]any{"password": string(sealed), "last_rotated": at, "key_version": int(version)}
}

// prepare, push and commit are the steps of a rotation.
func (a *tenant) prepare(password string) {
	a.t.Helper()
	pending := a.seal(password)
	pending["owner"], pending["claimed_until"] = "a test", time.Now().UTC().Format(time.RFC3339)
	a.fields["pending"] = pending
	a.put()
}

func (a *tenant) push(password string) { a.mailu.AddUser(a.user, password) }

func (a *tenant) commit() {
	a.t.Helper()
	pending := a.fields["pending"].(map[string]any)
	for _, name := range []string{"password", "last_rotated", "key_version"} {
		a.fields[name] = pending[name]
	}
	delete(a.fields, "pending")
	a.put()
}

func (a *tenant) set(name string, value any) {
	a.t.Helper()
	a.fields[name] = value
	a.put()
}

func (a *tenant) remove(names ...string) {
	a.t.Helper()
	for _, name := range names {
		delete(a.fields, name)
	}
	a.put()
}

func (a *tenant) expectLogins(want ...bool) {
	a.t.Helper()
	if got := a.mailu.Logins(a.user); !slices.Equal(got, want) {
		a.t.Errorf("logins %v, want %v", got, want)
	}
}

// beforeNext has something happen before the user's next login is decided. A reply is
// the answer.
func (a *tenant) beforeNext(happen func() (reply string)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.before[a.user] = happen
}

func (s *stage) beforeLogin(user, _ string) (reply string) {
	s.mu.Lock()
	happen := s.before[user]
	delete(s.before, user)
	s.mu.Unlock()
	if happen == nil {
		return ""
	}
	return happen()
}
