package vault_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"mailu-rotator/vault"
)

// A proxy may serve Vault under a path, beside other tools.
func TestVaultMayBeUnderAPath(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	behind, err := url.Parse(f.server.Addr)
	must(t, err)
	front := httptest.NewServer(http.StripPrefix("/tools/vault", httputil.NewSingleHostReverseProxy(behind)))
	t.Cleanup(front.Close)
	f.config.Address = front.URL + "/tools/vault"

	must(t, work(t.Context(), f.config, f.appRole(t, nil)))
}

func TestAddressOfTheAPIOrTheInterfaceIsRefused(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"/v1", "/v1/", "/ui/vault", "/tools/ui", "/ "} {
		config := f.config
		config.Address += path

		_, err := vault.Policy(config)

		if err == nil || !strings.Contains(err.Error(), "vault address") {
			t.Errorf("%q: got %v", path, err)
		}
	}
}
