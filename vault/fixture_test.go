package vault_test

import (
	"context"
	"iter"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/test/faultproxy"
	"mailu-rotator/vault"
	"mailu-rotator/vault/vaulttest"
)

const (
	tenant  = rotator.TenantID("6f1c2f0e-9a43-4c55-8f0b-6a9a7f1f2b11")
	another = rotator.TenantID("0b8f2c1d-7e64-4b7a-9d3e-1f2a3b4c5d6e")

	dataOf   = "/v1/vault/data/smtp/6f1c2f0e-9a43-4c55-8f0b-6a9a7f1f2b11/admin"
	loginOf  = "/v1/auth/approle/login"
	renewOf  = "/v1/auth/token/renew-self"
	lookupOf = "/v1/auth/token/lookup-self"
	revokeOf = "/v1/auth/token/revoke-self"
)

// fixture is a real Vault with the default layout behind a proxy that the client under
// test uses.
type fixture struct {
	server *vaulttest.Server
	root   *api.Client
	proxy  *faultproxy.Proxy
	config vault.Config
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	server := vaulttest.Run(t, vaulttest.Options{})
	must(t, server.Provision(t.Context(), vaulttest.DefaultLayout()))
	root, err := server.Client()
	must(t, err)
	proxy, err := faultproxy.NewProxy(server.Addr)
	must(t, err)
	t.Cleanup(proxy.Close)
	f := &fixture{server: server, root: root, proxy: proxy}
	f.config = vault.Config{
		Address: proxy.URL,
		Mount:   "vault", Prefix: "smtp", Leaf: "admin",
		Transit: vault.Transit{Mount: "transit", Key: "smtp-master"},
		Workers: 16,
		MinWait: 20 * time.Millisecond, MaxWait: 200 * time.Millisecond,
		Patience: 20 * time.Second,
	}
	return f
}

// withTenant adds one record.
func (f *fixture) withTenant(t *testing.T, fields map[string]any) *fixture {
	t.Helper()
	must(t, f.server.Put(t.Context(), "smtp/"+string(tenant)+"/admin", fields))
	return f
}

// rootAuth uses method token with the root token.
func (f *fixture) rootAuth() vault.Auth {
	return vault.Auth{Method: vault.MethodToken, Token: crypto.SecretFromString(f.server.RootToken)}
}

// appRole enables AppRole with a role that has the printed policy, and returns its
// login. Extra settings go to the role.
func (f *fixture) appRole(t *testing.T, settings map[string]any) vault.Auth {
	t.Helper()
	policy, err := vault.Policy(f.config)
	must(t, err)
	must(t, f.server.WritePolicy(t.Context(), "rotator", policy))
	must(t, f.root.Sys().EnableAuthWithOptionsWithContext(t.Context(), "approle", &api.EnableAuthOptions{Type: "approle"}))
	role := map[string]any{"token_policies": "rotator", "token_ttl": "1h"}
	for name, value := range settings {
		role[name] = value
	}
	f.write(t, "auth/approle/role/rotator", role)
	return vault.Auth{
		Method:       vault.MethodAppRole,
		RoleIDFile:   file(t, "role-id", f.read(t, "auth/approle/role/rotator/role-id")["role_id"].(string)),
		SecretIDFile: file(t, "secret-id", f.secretID(t)+"\n"),
		ReadSecret:   readSecret,
	}
}

func (f *fixture) secretID(t *testing.T) string {
	t.Helper()
	return f.write(t, "auth/approle/role/rotator/secret-id", nil)["secret_id"].(string)
}

func (f *fixture) write(t *testing.T, path string, data map[string]any) map[string]any {
	t.Helper()
	secret, err := f.root.Logical().WriteWithContext(t.Context(), path, data)
	must(t, err)
	if secret == nil {
		return nil
	}
	return secret.Data
}

func (f *fixture) read(t *testing.T, path string) map[string]any {
	t.Helper()
	secret, err := f.root.Logical().ReadWithContext(t.Context(), path)
	must(t, err)
	return secret.Data
}

func (f *fixture) delete(t *testing.T, path string) {
	t.Helper()
	_, err := f.root.Logical().DeleteWithContext(t.Context(), path)
	must(t, err)
}

// open logs in; the session is closed at the end of the test.
func (f *fixture) open(t *testing.T, auth vault.Auth) *vault.Client {
	t.Helper()
	client, err := f.tryOpen(t, auth)
	must(t, err)
	return client
}

func (f *fixture) tryOpen(t *testing.T, auth vault.Auth) (*vault.Client, error) {
	t.Helper()
	login, err := vault.NewLogin(auth)
	must(t, err)
	return openWith(t, f.config, login)
}

func openWith(t *testing.T, config vault.Config, login *vault.Login) (*vault.Client, error) {
	t.Helper()
	client, err := vault.Open(t.Context(), config, login)
	if err == nil {
		t.Cleanup(func() { _ = client.Close() })
	}
	return client, err
}

// revokeAll revokes every token that AppRole has issued.
func (f *fixture) revokeAll(t *testing.T) {
	t.Helper()
	must(t, f.root.Sys().RevokePrefixWithContext(t.Context(), "auth/approle/login"))
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func readSecret(path string) (crypto.Secret, error) {
	content, err := os.ReadFile(path)
	return crypto.NewSecret(content), err
}

func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await waits for a KV mount whose setup has not finished.
func (f *fixture) await(t *testing.T, path string) {
	t.Helper()
	for t.Context().Err() == nil {
		if _, err := f.root.Logical().ReadWithContext(t.Context(), path); err == nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// listed collects a whole list, or its error.
func listed(list iter.Seq2[string, error]) (names []string, err error) {
	for name, err := range list {
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}
