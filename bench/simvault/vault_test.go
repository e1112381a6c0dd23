package simvault_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"mailu-rotator/bench/simvault"
	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/vault"
	"mailu-rotator/vault/vaulttest"
)

const tenants = 300

func name(i int) string { return fmt.Sprintf("%08x-5eed-4000-8000-%012x", i, i) }

func number(name string) (i int) {
	if _, err := fmt.Sscanf(name, "%08x-5eed", &i); err != nil {
		return -1
	}
	return i
}

func fields(i int) map[string]any {
	return map[string]any{
		"username": fmt.Sprintf("admin%d@example.com", i), "key_version": 1, "password": "c2VhbGVk+/=",
		"webmail_url": "https://mail.example.com", "of": map[string]any{"others": []any{true, nil, "<&>"}},
	}
}

// open returns the program's own client of a Vault.
func open(t *testing.T, address, token string) *vault.Client {
	t.Helper()
	login, err := vault.NewLogin(vault.Auth{Method: vault.MethodToken, Token: crypto.SecretFromString(token)})
	if err != nil {
		t.Fatal(err)
	}
	client, err := vault.Open(t.Context(), vault.Config{
		Address: address, Mount: "vault", Prefix: "smtp", Leaf: "admin", Transit: vault.Transit{Mount: "transit", Key: "smtp-master"},
		Workers: 4, Patience: 5 * time.Second,
	}, login)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func simulated(t *testing.T) *httptest.Server {
	fleet := simvault.Fleet{Mount: "vault", Prefix: "smtp", Leaf: "admin", Tenants: tenants, Name: name, Number: number, Fields: fields}
	server := httptest.NewServer(fleet.Handler())
	t.Cleanup(server.Close)
	return server
}

// realVault is a real Vault with the same records.
func realVault(t *testing.T) *vaulttest.Server {
	t.Helper()
	server := vaulttest.Run(t, vaulttest.Options{})
	if err := server.Provision(t.Context(), vaulttest.DefaultLayout()); err != nil {
		t.Fatal(err)
	}
	for i := range tenants {
		if err := server.Put(t.Context(), vaulttest.DefaultLayout().Path(name(i)), fields(i)); err != nil {
			t.Fatal(err)
		}
	}
	return server
}

func TestTheProgramReadsTheSameAsFromARealVault(t *testing.T) {
	server := realVault(t)
	genuine, simulated := open(t, server.Addr, server.RootToken), open(t, simulated(t).URL, "any")

	for _, i := range []int{0, 1, tenants - 1} {
		want, wantErr := genuine.Read(t.Context(), rotator.TenantID(name(i)))
		got, gotErr := simulated.Read(t.Context(), rotator.TenantID(name(i)))

		if wantErr != nil || gotErr != nil {
			t.Fatalf("read %d: %v, %v", i, wantErr, gotErr)
		}
		if got.Version != want.Version || got.Written.IsZero() || spelled(t, got.Fields) != spelled(t, want.Fields) {
			t.Errorf("record %d: %+v, want %+v", i, got, want)
		}
	}
	if _, err := simulated.Read(t.Context(), rotator.TenantID(name(tenants))); err == nil {
		t.Error("a tenant that is not there was read")
	}
	if keys, err := simulated.MasterKeys(t.Context()); err != nil || keys.Newest().Version != 1 {
		t.Errorf("master keys: %v", err)
	}
	if now, err := simulated.Time(t.Context()); err != nil || time.Since(now).Abs() > time.Minute {
		t.Errorf("time: %v, %v", now, err)
	}
}

func spelled(t *testing.T, fields map[string]any) string {
	t.Helper()
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Beside the ids, which differ, both say the same in the same form.
func TestTheListAndARecordHaveTheFormOfARealVaults(t *testing.T) {
	server := realVault(t)
	simulated := simulated(t).URL
	for _, path := range []string{"/v1/vault/metadata/smtp?list=true", "/v1/vault/data/smtp/" + name(7) + "/admin"} {
		want, got := ask(t, server.Addr+path, server.RootToken), ask(t, simulated+path, "")

		if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, slices.Sorted(maps.Keys(want))) {
			t.Errorf("%s: fields %v, want %v", path, names, slices.Sorted(maps.Keys(want)))
		}
		if got, want := spelled(t, got["data"].(map[string]any)), spelled(t, want["data"].(map[string]any)); strings.Contains(path, "list") && got != want {
			t.Errorf("%s: %.200s, want %.200s", path, got, want)
		}
	}
}

func ask(t *testing.T, url, token string) (answer map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}
