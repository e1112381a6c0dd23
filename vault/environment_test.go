package vault_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"mailu-rotator/internal/faultproxy"
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

	if err == nil || !strings.Contains(err.Error(), "VAULT_*") || strings.Contains(err.Error(), "hvs.secret") {
		t.Errorf("got %v", err)
	}
}

// An open-source server ignores the namespace, so the header is what counts.
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

// recordHeaders returns a function that returns the headers of all requests
// that have arrived since.
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
