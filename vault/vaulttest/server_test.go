package vaulttest_test

import (
	"errors"
	"net/http"
	"os"
	"testing"

	"mailu-rotator/vault/vaulttest"

	"github.com/hashicorp/vault/api"
)

const tenant = "3f1c2a44-0d7e-4f6b-9a51-6f0c1d2e3b4a"

// provisioned runs a server with the default layout and one secret.
func provisioned(t *testing.T, o vaulttest.Options) (*vaulttest.Server, string) {
	t.Helper()
	s := vaulttest.Run(t, o)
	layout := vaulttest.DefaultLayout()
	if err := s.Provision(t.Context(), layout); err != nil {
		t.Fatal(err)
	}
	path := layout.Path(tenant)
	if err := s.Put(t.Context(), path, map[string]any{"username": "admin@example.com"}); err != nil {
		t.Fatal(err)
	}
	return s, path
}

func wantUsername(t *testing.T, s *vaulttest.Server, path string) {
	t.Helper()
	fields, version, err := s.Get(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if fields["username"] != "admin@example.com" || version != 1 {
		t.Fatalf("got %v, version %d; want the secret put, version 1", fields, version)
	}
}

func client(t *testing.T, s *vaulttest.Server) *api.Client {
	t.Helper()
	c, err := s.Client()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMemoryServerKeepsSecretsThroughASeal(t *testing.T) {
	s, path := provisioned(t, vaulttest.Options{})

	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _, err := s.Get(t.Context(), path)
	var answer *api.ResponseError
	if !errors.As(err, &answer) || answer.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("reading while sealed: got %v, want 503", err)
	}
	if err := s.Unseal(t.Context()); err != nil {
		t.Fatal(err)
	}

	wantUsername(t, s, path)
}

func TestFileServerFindsItsDataAfterRestarts(t *testing.T) {
	dir := t.TempDir()
	s, path := provisioned(t, vaulttest.Options{Dir: dir})

	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantUsername(t, s, path)
	s.Kill()
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantUsername(t, s, path)
	s.Stop()

	successor := vaulttest.Run(t, vaulttest.Options{Dir: dir})
	wantUsername(t, successor, path)
}

func TestMemoryServerRefusesToRestart(t *testing.T) {
	s := vaulttest.Run(t, vaulttest.Options{})

	if err := s.Restart(t.Context()); err == nil {
		t.Fatal("restart of a server in memory succeeded")
	}
}

func TestTransitKeyIsExportableAndRotates(t *testing.T) {
	s, _ := provisioned(t, vaulttest.Options{})

	if err := s.RotateKey(t.Context()); err != nil {
		t.Fatal(err)
	}

	export, err := client(t, s).Logical().ReadWithContext(t.Context(), "transit/export/encryption-key/smtp-master")
	if err != nil {
		t.Fatal(err)
	}
	if keys := export.Data["keys"].(map[string]any); len(keys) != 2 {
		t.Fatalf("got %d key versions, want 2", len(keys))
	}
}

func TestProvisioningTwiceChangesNothing(t *testing.T) {
	s, path := provisioned(t, vaulttest.Options{})

	if err := s.Provision(t.Context(), vaulttest.DefaultLayout()); err != nil {
		t.Fatal(err)
	}

	wantUsername(t, s, path)
}

func TestTokenHasOnlyItsPolicies(t *testing.T) {
	s, path := provisioned(t, vaulttest.Options{})
	policy := `path "vault/data/` + path + `" { capabilities = ["read"] }`
	if err := s.WritePolicy(t.Context(), "reader", policy); err != nil {
		t.Fatal(err)
	}
	token, err := s.Token(t.Context(), "reader")
	if err != nil {
		t.Fatal(err)
	}
	reader := client(t, s)
	reader.SetToken(token)

	if _, err := reader.KVv2("vault").Get(t.Context(), path); err != nil {
		t.Errorf("reading: %v", err)
	}
	_, err = reader.KVv2("vault").Put(t.Context(), path, map[string]any{"a": "b"})
	var answer *api.ResponseError
	if !errors.As(err, &answer) || answer.StatusCode != http.StatusForbidden {
		t.Errorf("writing: got %v, want 403", err)
	}
}

func TestGetTellsAbsentAndDeleted(t *testing.T) {
	s, path := provisioned(t, vaulttest.Options{})
	if err := client(t, s).KVv2("vault").Delete(t.Context(), path); err != nil {
		t.Fatal(err)
	}

	for _, p := range []string{path, "smtp/nobody/admin"} {
		if _, _, err := s.Get(t.Context(), p); !errors.Is(err, api.ErrSecretNotFound) {
			t.Errorf("%s: got %v, want ErrSecretNotFound", p, err)
		}
	}
}

func TestCertificateLoginOverTLS(t *testing.T) {
	s, _ := provisioned(t, vaulttest.Options{TLS: true})
	root := client(t, s)
	ca, err := os.ReadFile(s.CACert)
	if err != nil {
		t.Fatal(err)
	}
	if err := root.Sys().EnableAuthWithOptionsWithContext(t.Context(), "cert", &api.EnableAuthOptions{Type: "cert"}); err != nil {
		t.Fatal(err)
	}
	role := map[string]any{"certificate": string(ca), "allowed_common_names": "ops", "token_policies": "default"}
	if _, err := root.Logical().WriteWithContext(t.Context(), "auth/cert/certs/ops", role); err != nil {
		t.Fatal(err)
	}
	cert, key, err := s.ClientCert("ops")
	if err != nil {
		t.Fatal(err)
	}
	config := api.DefaultConfig()
	config.Address = s.Addr
	if err := config.ConfigureTLS(&api.TLSConfig{CACert: s.CACert, ClientCert: cert, ClientKey: key}); err != nil {
		t.Fatal(err)
	}
	ops, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}

	login, err := ops.Logical().WriteWithContext(t.Context(), "auth/cert/login", nil)

	if err != nil || login.Auth.ClientToken == "" {
		t.Fatalf("login: %v, %v", login, err)
	}
}

func TestEnvironmentDoesNotReachServerOrClient(t *testing.T) {
	for name, value := range map[string]string{
		"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_AGENT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": "wrong",
		"VAULT_NAMESPACE": "elsewhere", "VAULT_HEADERS": `{"X-Odd":"1"}`, "VAULT_API_ADDR": "http://127.0.0.1:1",
		"VAULT_WRAP_TTL": "60", "HTTP_PROXY": "http://127.0.0.1:1",
	} {
		t.Setenv(name, value)
	}

	s, path := provisioned(t, vaulttest.Options{})

	wantUsername(t, s, path)
}
