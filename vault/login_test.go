package vault_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/vault"
	"mailu-rotator/vault/vaulttest"
)

func TestLoginByToken(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})

	c := f.open(t, f.rootAuth())

	_, err := c.Read(t.Context(), tenant)
	must(t, err)
	must(t, c.Close())
	if n := f.proxy.Count("PUT", revokeOf) + f.proxy.Count("PUT", renewOf); n != 0 {
		t.Errorf("a given root token was renewed or revoked %d times", n)
	}
}

func TestLoginByTokenFileReadsItAnew(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	path := file(t, "token", " \n"+f.server.RootToken+"\r\n")
	login, err := vault.NewLogin(vault.Auth{Method: vault.MethodTokenFile, TokenFile: path, ReadSecret: readSecret})
	must(t, err)
	_, err = openWith(t, f.config, login)
	must(t, err)
	must(t, os.WriteFile(path, []byte("hvs.stale"), 0o600))

	_, stale := openWith(t, f.config, login)
	must(t, os.WriteFile(path, []byte("\n"), 0o600))
	_, empty := openWith(t, f.config, login)
	must(t, os.WriteFile(path, []byte(f.server.RootToken), 0o600))
	_, good := openWith(t, f.config, login)

	if !errors.Is(stale, rotator.ErrForbidden) || !strings.Contains(stale.Error(), path) || strings.Contains(stale.Error(), "hvs.stale") {
		t.Errorf("stale token: %v", stale)
	}
	if empty == nil || !strings.Contains(empty.Error(), "is empty") {
		t.Errorf("empty file: %v", empty)
	}
	must(t, good)
}

func TestLoginByAppRoleRevokesItsTokenAtTheEnd(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})

	must(t, work(t.Context(), f.config, f.appRole(t, nil)))

	if n := f.proxy.Count("PUT", revokeOf); n != 1 {
		t.Errorf("%d revocations, want 1", n)
	}
}

func TestLoginByAppRoleUnderAnotherMountIsToldWhereItLooked(t *testing.T) {
	f := newFixture(t)
	auth := f.appRole(t, nil)
	auth.Mount = "elsewhere"

	_, err := f.tryOpen(t, auth)

	if !errors.Is(err, rotator.ErrForbidden) || !strings.Contains(err.Error(), "auth/elsewhere") {
		t.Errorf("got %v", err)
	}
}

func TestRefusedSecretIDIsForbiddenAndNotQuoted(t *testing.T) {
	f := newFixture(t)
	auth := f.appRole(t, nil)
	auth.SecretIDFile = file(t, "secret-id", "not-the-secret-id")

	_, err := f.tryOpen(t, auth)

	if !errors.Is(err, rotator.ErrForbidden) || !strings.Contains(err.Error(), "invalid role or secret ID") || strings.Contains(err.Error(), "not-the-secret-id") {
		t.Errorf("got %v", err)
	}
}

// wrappedAuth is AppRole whose secret-id file holds a wrapping token.
func (f *fixture) wrappedAuth(t *testing.T) (vault.Auth, string) {
	t.Helper()
	auth := f.appRole(t, nil)
	auth.SecretIDWrapped = true
	token := f.wrap(t, "auth/approle/role/rotator/secret-id", nil)
	auth.SecretIDFile = file(t, "wrapped", token+"\n")
	return auth, token
}

func (f *fixture) wrap(t *testing.T, path string, data map[string]any) string {
	t.Helper()
	wrapping, err := f.server.Client()
	must(t, err)
	wrapping.SetWrappingLookupFunc(func(string, string) string { return "5m" })
	secret, err := wrapping.Logical().WriteWithContext(t.Context(), path, data)
	must(t, err)
	return secret.WrapInfo.Token
}

func TestWrappedSecretIDIsUnwrappedOnceAndKept(t *testing.T) {
	f := newFixture(t)
	auth, _ := f.wrappedAuth(t)
	login, err := vault.NewLogin(auth)
	must(t, err)

	for range 3 {
		_, err := openWith(t, f.config, login)
		must(t, err)
	}
	must(t, os.Remove(auth.SecretIDFile))
	_, err = openWith(t, f.config, login)
	must(t, err)
	must(t, os.WriteFile(auth.SecretIDFile, []byte(f.wrap(t, "auth/approle/role/rotator/secret-id", nil)), 0o600))
	_, err = openWith(t, f.config, login)
	must(t, err)

	if n := f.proxy.Count("PUT", "/v1/sys/wrapping/unwrap"); n != 2 {
		t.Errorf("%d unwrappings of 2 wrapping tokens", n)
	}
	if n := f.proxy.Count("PUT", loginOf); n != 5 {
		t.Errorf("%d logins, want 5", n)
	}
}

func TestWrappingTokenUsedBySomebodyElseIsReported(t *testing.T) {
	f := newFixture(t)
	auth, token := f.wrappedAuth(t)
	_, err := f.root.Logical().UnwrapWithContext(t.Context(), token)
	must(t, err)

	_, err = f.tryOpen(t, auth)

	if err == nil || !strings.Contains(err.Error(), "somebody else has the secret-id") || strings.Contains(err.Error(), token) {
		t.Errorf("got %v", err)
	}
}

func TestForgedWrappingTokenIsNotUnwrapped(t *testing.T) {
	f := newFixture(t)
	auth, _ := f.wrappedAuth(t)
	must(t, f.root.Sys().EnableAuthWithOptionsWithContext(t.Context(), "other", &api.EnableAuthOptions{Type: "approle"}))
	f.write(t, "auth/other/role/rotator", nil)
	for path, data := range map[string]map[string]any{
		"sys/wrapping/wrap":                          {"secret_id": "theirs"},
		"auth/other/role/rotator/secret-id":          nil,
		"auth/approle/role/rotator/secret-id/lookup": {"secret_id": f.secretID(t)},
	} {
		auth.SecretIDFile = file(t, "forged", f.wrap(t, path, data))

		_, err := f.tryOpen(t, auth)

		if err == nil || !strings.Contains(err.Error(), `made by "`+path+`"`) || !strings.Contains(err.Error(), "treat it as forged") {
			t.Errorf("%s: got %v", path, err)
		}
	}
	if n := f.proxy.Count("PUT", "/v1/sys/wrapping/unwrap"); n != 0 {
		t.Errorf("%d unwrapped", n)
	}
}

func TestLoginByCertificateReadsTheFilesAnew(t *testing.T) {
	server := vaulttest.Run(t, vaulttest.Options{TLS: true})
	must(t, server.Provision(t.Context(), vaulttest.DefaultLayout()))
	root, err := server.Client()
	must(t, err)
	f := &fixture{server: server, root: root}
	f.withTenant(t, map[string]any{"v": "1"})
	f.config = vault.Config{
		Address: server.Addr, CAFile: server.CACert,
		Mount: "vault", Prefix: "smtp", Leaf: "admin",
		Transit: vault.Transit{Mount: "transit", Key: "smtp-master"},
	}
	policy, err := vault.Policy(f.config)
	must(t, err)
	must(t, server.WritePolicy(t.Context(), "rotator", policy))
	must(t, root.Sys().EnableAuthWithOptionsWithContext(t.Context(), "tls", &api.EnableAuthOptions{Type: "cert"}))
	ca, err := os.ReadFile(server.CACert)
	must(t, err)
	f.write(t, "auth/tls/certs/rotator", map[string]any{
		"certificate": string(ca), "allowed_common_names": "rotator", "token_policies": "rotator",
	})
	certFile, keyFile, err := server.ClientCert("rotator")
	must(t, err)
	wrongCert, wrongKey, err := server.ClientCert("somebody")
	must(t, err)
	auth := vault.Auth{Method: vault.MethodCert, Mount: "tls", CertFile: certFile, KeyFile: keyFile, ReadSecret: readSecret}
	login, err := vault.NewLogin(auth)
	must(t, err)

	c, err := openWith(t, f.config, login)
	must(t, err)
	_, err = c.Read(t.Context(), tenant)
	must(t, err)
	must(t, os.Rename(wrongCert, certFile))
	must(t, os.Rename(wrongKey, keyFile))
	_, wrong := openWith(t, f.config, login)

	if !errors.Is(wrong, rotator.ErrForbidden) {
		t.Errorf("another certificate in the same files: %v", wrong)
	}
}

func TestUnknownAuthorityIsNotWaitedFor(t *testing.T) {
	server := vaulttest.Run(t, vaulttest.Options{TLS: true})
	f := newFixture(t)
	f.config.Address = server.Addr

	_, err := f.tryOpen(t, f.rootAuth())

	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}

func TestIncompleteAuthIsRefused(t *testing.T) {
	secret := crypto.SecretFromString("x")
	for _, c := range []struct {
		auth vault.Auth
		says string
	}{
		{vault.Auth{}, "auth mount is empty"},
		{vault.Auth{Method: "ldap"}, "not one of token"},
		{vault.Auth{Method: vault.MethodToken}, "token is missing"},
		{vault.Auth{Method: vault.MethodTokenFile}, "token_file is missing"},
		{vault.Auth{Method: vault.MethodTokenFile, TokenFile: "f"}, "no function"},
		{vault.Auth{Method: vault.MethodAppRole, RoleIDFile: "f", ReadSecret: readSecret}, "secret_id_file is missing"},
		{vault.Auth{Method: vault.MethodKubernetes, Role: "r"}, "jwt_file is missing"},
		{vault.Auth{Method: vault.MethodCert, CertFile: "c", ReadSecret: readSecret}, "key_file is missing"},
		{vault.Auth{Method: vault.MethodToken, Token: secret, Mount: "../sys"}, "auth mount"},
	} {
		if _, err := vault.NewLogin(c.auth); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: got %v, want %q", c.auth, err, c.says)
		}
	}
}

// A session would end in the middle of a run, and each of its logins would count as a
// token that fails repeatedly.
func TestTokenOfLimitedUsesIsRefusedAtOnce(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	role := f.appRole(t, map[string]any{"token_num_uses": 5})
	secret, err := f.root.Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{Policies: []string{"default"}, NumUses: 5})
	must(t, err)
	token := vault.Auth{Method: vault.MethodToken, Token: crypto.SecretFromString(secret.Auth.ClientToken)}
	tests := map[string]struct {
		auth    vault.Auth
		fix     string
		revoked int
	}{
		"by AppRole": {role, "vault write auth/approle/role/rotator token_num_uses=0", 1},
		"given":      {token, "without -use-limit", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before := f.proxy.Count("PUT", revokeOf)

			_, err := f.tryOpen(t, test.auth)
			revoked := f.proxy.Count("PUT", revokeOf) - before
			login, _ := examine(t, f.config, test.auth)

			if err == nil || !strings.Contains(err.Error(), "requests only") || !strings.Contains(err.Error(), test.fix) || strings.Contains(err.Error(), "policy") {
				t.Errorf("got %v", err)
			}
			if revoked != test.revoked {
				t.Errorf("%d revocations, want %d", revoked, test.revoked)
			}
			if login.State != rotator.CheckFailed || !strings.Contains(login.Fix, test.fix) {
				t.Errorf("doctor: %+v", login)
			}
		})
	}
}

func TestBatchTokenIsNoWorryAtTheEnd(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})

	must(t, work(t.Context(), f.config, f.appRole(t, map[string]any{"token_type": "batch"})))
}

func TestTokenBoundToOtherAddressesIsSaidToBe(t *testing.T) {
	f := newFixture(t)
	f.config.Patience = 2 * time.Second
	l, err := vault.NewLogin(f.appRole(t, map[string]any{"token_bound_cidrs": "192.0.2.0/24"}))
	must(t, err)

	c, login := vault.CheckLogin(t.Context(), f.config, l)
	found := c.Examine(t.Context(), "write the policy")
	_ = c.Close() // its token cannot be revoked either

	if login.State != rotator.CheckWarned || !strings.Contains(login.Fix, "token_bound_cidrs") {
		t.Errorf("login: %+v", login)
	}
	for _, c := range found.Checks {
		if strings.Contains(c.Fix, "secrets enable") {
			t.Errorf("advice about what was not seen: %+v", c)
		}
	}
}

func TestSecretIDBoundToOtherAddressesIsSaidToBe(t *testing.T) {
	f := newFixture(t)
	auth := f.appRole(t, map[string]any{"secret_id_bound_cidrs": "192.0.2.0/24", "token_bound_cidrs": "192.0.2.0/24"})

	login, _ := examine(t, f.config, auth)

	if login.State != rotator.CheckFailed || !strings.Contains(login.Fix, "secret_id_bound_cidrs") {
		t.Errorf("login: %+v", login)
	}
}
