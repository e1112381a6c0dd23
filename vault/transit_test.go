package vault_test

import (
	"errors"
	"fmt"
	"testing"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/vault"
)

func TestMasterKeysGivesEveryReadableVersion(t *testing.T) {
	f := newFixture(t)
	c := f.open(t, f.rootAuth())
	for range 2 {
		must(t, f.server.RotateKey(t.Context()))
	}
	binding := crypto.Binding{TenantID: string(tenant), LastRotated: "2026-01-01T00:00:00Z"}

	before, err := c.MasterKeys(t.Context())
	must(t, err)
	sealed, err := crypto.Seal(before.Newest(), binding, crypto.SecretFromString("hunter2"))
	must(t, err)
	f.write(t, "transit/keys/smtp-master/config", map[string]any{"min_decryption_version": 2})
	after, err := c.MasterKeys(t.Context())
	must(t, err)

	if v := before.Newest().Version; v != 3 {
		t.Errorf("newest is %d, want 3", v)
	}
	if password, err := after.Open(3, binding, sealed); err != nil || password.RevealString() != "hunter2" {
		t.Errorf("the two exports disagree: %v", err)
	}
	if _, err := after.Open(1, binding, sealed); !errors.Is(err, crypto.ErrNoKey) {
		t.Errorf("version 1: got %v, want ErrNoKey", err)
	}
}

func TestUnusableMasterKeysAreToldApart(t *testing.T) {
	f := newFixture(t)
	f.write(t, "transit/keys/secret", map[string]any{"type": "aes256-gcm96"})
	f.write(t, "transit/keys/short", map[string]any{"type": "aes128-gcm96", "exportable": true})
	f.write(t, "transit/keys/other", map[string]any{"type": "chacha20-poly1305", "exportable": true})
	for _, c := range []struct {
		transit vault.Transit
		want    error
	}{
		{vault.Transit{Mount: "transit", Key: "missing"}, vault.ErrNoMasterKey},
		{vault.Transit{Mount: "nowhere", Key: "smtp-master"}, vault.ErrNoMasterKey},
		{vault.Transit{Mount: "transit", Key: "secret"}, vault.ErrNotExportable},
		{vault.Transit{Mount: "transit", Key: "short"}, vault.ErrWrongKeyType},
		{vault.Transit{Mount: "transit", Key: "other"}, vault.ErrWrongKeyType},
	} {
		t.Run(fmt.Sprint(c.transit), func(t *testing.T) {
			g := *f
			g.config.Transit = c.transit
			client := g.open(t, f.rootAuth())

			_, err := client.MasterKeys(t.Context())

			if !errors.Is(err, c.want) || errors.Is(err, rotator.ErrForbidden) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}
