package sweep_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/vault/vaulttest"
)

// The requests of a sweep to a real Vault, counted by a proxy: one list, one read of
// each tenant, and two writes of each that it rotates.
func TestVaultMeetsOneRequestPerTenantAndThreePerRotation(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	fresh := g.clock.Now().UTC().Format(time.RFC3339)
	for n := range 9 {
		must(t, g.vault.Put(t.Context(), vaulttest.DefaultLayout().Path(string(tenant(n))), map[string]any{
			"username": fmt.Sprintf("admin@%d.example", n), "webmail_url": g.mailu.Origin(), "created_at": fresh, "last_rotated": fresh,
			"password": g.seal(t, fresh, oldPass), "key_version": 1,
		}))
	}
	before := len(g.proxy.Requests())

	row := g.sweep(t, "the sweep")

	if row.Outcome != rotator.Rotated {
		t.Fatalf("the tenant that is due: %s, %s", row.Outcome, row.Reason)
	}
	data := map[string]int{}
	others := map[string]int{}
	for _, r := range g.proxy.Requests()[before:] {
		switch {
		case strings.HasPrefix(r.Path, "/v1/vault/data/smtp/"+tenantA):
			data[r.Method+" of the one that is due"]++
		case strings.HasPrefix(r.Path, "/v1/vault/data/"):
			data[r.Method]++
		default:
			others[r.Path]++
		}
	}
	if want := fmt.Sprint(map[string]int{"GET of the one that is due": 1, "PUT of the one that is due": 2, "GET": 9}); fmt.Sprint(data) != want {
		t.Errorf("got %v, want %s", data, want)
	}
	for _, path := range []string{"/v1/vault/metadata/smtp", "/v1/transit/export/encryption-key/smtp-master", "/v1/sys/internal/ui/mounts/vault"} {
		if others[path] != 1 {
			t.Errorf("%s was asked for %d times", path, others[path])
		}
	}
	if n := len(others); n > 5 { // these, and the token's own lookup and revocation
		t.Errorf("other requests: %v", others)
	}
}
