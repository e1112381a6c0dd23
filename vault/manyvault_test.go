package vault_test

import (
	"maps"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/test/manyvault"
	"mailu-rotator/vault"
)

// Measurements on a simulated Vault are valid only if it answers like a real one with
// the same content.
func TestManyvaultAnswersAsVaultDoes(t *testing.T) {
	f := newFixture(t)
	fleet := manyvault.Fleet{Tenants: 3, Origin: "https://mail.example.com", Rotated: time.Now(), Policy: "90_days"}
	madeUp := httptest.NewServer(fleet.Handler())
	t.Cleanup(madeUp.Close)
	open := func(address string) *vault.Client {
		config := f.config
		config.Address = address
		login, err := vault.NewLogin(f.rootAuth())
		must(t, err)
		c, err := vault.Open(t.Context(), config, login)
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	many, vaults := open(madeUp.URL), open(f.server.Addr)
	for n := range fleet.Tenants {
		doc, err := many.Read(t.Context(), rotator.TenantID(manyvault.Tenant(n)))
		must(t, err)
		must(t, f.server.Put(t.Context(), "smtp/"+manyvault.Tenant(n)+"/admin", doc.Fields))
	}

	names, err := listed(many.List(t.Context()))
	must(t, err)
	want, err := listed(vaults.List(t.Context()))
	must(t, err)
	if !slices.Equal(names, want) {
		t.Errorf("lists %q, Vault %q", names, want)
	}
	for _, name := range names {
		got, err := many.Read(t.Context(), rotator.TenantID(name))
		must(t, err)
		want, err := vaults.Read(t.Context(), rotator.TenantID(name))
		must(t, err)
		if !maps.Equal(got.Fields, want.Fields) || got.Written.IsZero() || got.Version < 1 {
			t.Errorf("reads %v, Vault %v", got, want)
		}
	}
	now, err := many.Time(t.Context())
	must(t, err)
	keys, err := many.MasterKeys(t.Context())
	must(t, err)
	if time.Since(now).Abs() > time.Minute || !keys.Has(1) {
		t.Errorf("it is %s, and the master keys are %v", now, keys.Versions())
	}
}
