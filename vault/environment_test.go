package vault_test

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"mailu-rotator/test/faultproxy"
	"mailu-rotator/vault"
	"mailu-rotator/vault/vaulttest"
)

func TestEnvironmentDoesNotLeakIn(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	auth := f.appRole(t, nil)
	for name, value := range map[string]string{
		"VAULT_ADDR":         "http://127.0.0.1:1",
		"VAULT_AGENT_ADDR":   "http://127.0.0.1:1",
		"VAULT_TOKEN":        "hvs.stray",
		"VAULT_NAMESPACE":    "stray",
		"VAULT_HEADERS":      `{"X-Stray":"1"}`,
		"VAULT_WRAP_TTL":     "60",
		"VAULT_RATE_LIMIT":   "0.001:1",
		"VAULT_PROXY_ADDR":   "http://127.0.0.1:1",
		"VAULT_MAX_RETRIES":  "0",
		"VAULT_SKIP_VERIFY":  "true",
		"VAULT_CACERT_BYTES": "",
	} {
		t.Setenv(name, value)
	}
	headers := f.recordHeaders()

	must(t, work(t.Context(), f.config, auth))

	for _, header := range headers() {
		for name, values := range header {
			if strings.Contains(strings.ToLower(name+strings.Join(values, "")), "stray") || name == "X-Vault-Namespace" || name == "X-Vault-Wrap-Ttl" {
				t.Errorf("sent %s", name)
			}
		}
	}
}

func TestBrokenEnvironmentIsNamedAndNotQuoted(t *testing.T) {
	f := newFixture(t)
	t.Setenv("VAULT_HEADERS", "hvs.secret")

	_, err := f.tryOpen(t, f.rootAuth())

	if err == nil || !strings.Contains(err.Error(), "unset VAULT_HEADERS") || strings.Contains(err.Error(), "hvs.secret") {
		t.Errorf("got %v", err)
	}
}

// Each variable alone stops a program whose API client sees it.
func TestTakenEnvironmentBreaksNothing(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	auth := f.appRole(t, nil)
	broken := map[string]string{
		"VAULT_CACERT":            "/nonexistent/ca.pem",
		"VAULT_CACERT_BYTES":      "no certificate",
		"VAULT_CAPATH":            "/nonexistent",
		"VAULT_CLIENT_CERT":       "/nonexistent",
		"VAULT_CLIENT_KEY":        "/nonexistent",
		"VAULT_SKIP_VERIFY":       "yes",
		"VAULT_SRV_LOOKUP":        "maybe",
		"VAULT_DISABLE_REDIRECTS": "no, please",
		"VAULT_CLIENT_TIMEOUT":    "1m30",
		"VAULT_MAX_RETRIES":       "two",
		"VAULT_RATE_LIMIT":        "fast",
		"VAULT_PROXY_ADDR":        "http://proxy:port",
		"VAULT_HTTP_PROXY":        "http://proxy:port",
		"VAULT_HEADERS":           "X-Stray: 1",
		"VAULT_AGENT_ADDR":        "://",
		"VAULT_ADDR":              "://",
		"VAULT_TOKEN":             "two\nlines",
	}
	for name, value := range broken {
		t.Setenv(name, value)
	}

	getenv := vault.TakeEnvironment()

	must(t, work(t.Context(), f.config, auth))
	for name, value := range broken {
		if got := getenv(name); got != value || os.Getenv(name) != "" {
			t.Errorf("%s: taken %q, left %q", name, got, os.Getenv(name))
		}
	}
	if getenv("PATH") != os.Getenv("PATH") {
		t.Error("other variables were taken too")
	}
}

func TestNoVariableTurnsOffTheCheckOfTheCertificate(t *testing.T) {
	server := vaulttest.Run(t, vaulttest.Options{TLS: true})
	f := &fixture{server: server, config: vault.Config{
		Address: server.Addr, Mount: "vault", Prefix: "smtp", Leaf: "admin",
		Transit: vault.Transit{Mount: "transit", Key: "smtp-master"},
	}}
	for name, value := range map[string]string{
		"VAULT_SKIP_VERIFY":     "true",
		"VAULT_CACERT":          server.CACert,
		"VAULT_TLS_SERVER_NAME": "localhost",
	} {
		t.Setenv(name, value)
	}

	_, err := f.tryOpen(t, f.rootAuth())

	if err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority") {
		t.Errorf("got %v", err)
	}
}

// An open-source server ignores the namespace, so the test checks the header.
func TestNamespaceIsSentButForHealth(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	f.config.Namespace = "ops/mail/"
	headers := f.recordHeaders()
	c := f.open(t, f.rootAuth())
	_, err := c.Read(t.Context(), tenant)
	must(t, err)
	asked := len(headers())

	_, err = c.Time(t.Context())

	must(t, err)
	for i, header := range headers() {
		want := []string{"ops/mail"}
		if i >= asked {
			want = nil
		}
		if got := header["X-Vault-Namespace"]; !slices.Equal(got, want) {
			t.Errorf("request %d: namespace %q, want %q", i, got, want)
		}
	}
}

// recordHeaders returns a function that returns the headers of all requests that
// arrived since.
func (f *fixture) recordHeaders() func() []http.Header {
	var mu sync.Mutex
	var headers []http.Header
	f.proxy.Inject(faultproxy.Fault{Kind: faultproxy.Delay, Match: func(r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		headers = append(headers, r.Header.Clone())
		return false
	}})
	return func() []http.Header {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(headers)
	}
}
