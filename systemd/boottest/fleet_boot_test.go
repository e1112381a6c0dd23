//go:build boot

package boottest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/crypto"
	"mailu-rotator/internal/cluster/natstest"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/test/vaultread"
	"mailu-rotator/vault"
	"mailu-rotator/vault/vaulttest"
)

const (
	daemon      = "mailu-rotator.service"
	emergency   = "mailu-rotator-emergency.service"
	sweep       = "mailu-rotator-sweep.service"
	worker      = "mailu-rotator-worker.service"
	configFile  = "/etc/mailu-rotator/config.yaml"
	credentials = "/etc/mailu-rotator/credentials"
	never       = "0 0 1 1 *"
	often       = "@every 1s"
	asService   = "mailu-rotator-as-service"
)

// fleet is a Vault and a Mailu on this host, with tenants that are all due.
type fleet struct {
	vault   *vaulttest.Server
	client  *api.Client
	mailu   *mailutest.Server
	keys    *crypto.Keyring
	tenants []string
	nats    *natstest.Server // nil: no cluster
}

func user(tenant string) string { return "admin@" + tenant[:8] + ".example" }

func openFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{
		vault: vaulttest.Run(t, vaulttest.Options{Binary: os.Getenv("MAILU_ROTATOR_VAULT")}),
		mailu: mailutest.Run(t, mailutest.Config{Token: "api-token-of-the-boot-test"}),
	}
	layout := vaulttest.DefaultLayout()
	must(t, f.vault.Provision(t.Context(), layout))
	var err error
	f.client, err = f.vault.Client()
	must(t, err)
	policy, err := vault.Policy(vault.Config{
		Address: f.vault.Addr, Mount: layout.Mount, Prefix: layout.Prefix, Leaf: layout.Leaf,
		Transit: vault.Transit{Mount: layout.TransitMount, Key: layout.TransitKey},
	})
	must(t, err)
	must(t, f.vault.WritePolicy(t.Context(), "mailu-rotator", policy))
	token, err := f.vault.Token(t.Context(), "mailu-rotator")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(credentials, "vault-token"), []byte(token), 0o600))
	must(t, os.WriteFile(filepath.Join(credentials, "mailu.token"), []byte(f.mailu.Token()), 0o600))
	keys, err := vaultread.MasterKeys(t.Context(), f.client, layout.TransitMount, layout.TransitKey)
	must(t, err)
	f.keys, err = crypto.NewKeyring(keys)
	must(t, err)
	for i := range 3 {
		f.seed(t, fmt.Sprintf("%08d-b007-4000-8000-000000000000", i))
	}
	f.configure(t, never)
	return f
}

// seed creates a tenant whose password is a year old.
func (f *fleet) seed(t *testing.T, tenant string) {
	t.Helper()
	born := time.Now().UTC().AddDate(-1, 0, 0).Format(time.RFC3339)
	first := "First password of " + tenant
	sealed, err := crypto.Seal(f.keys.Newest(), crypto.Binding{TenantID: tenant, LastRotated: born}, crypto.SecretFromString(first))
	must(t, err)
	f.mailu.AddUser(user(tenant), first)
	must(t, f.vault.Put(t.Context(), vaulttest.DefaultLayout().Path(tenant), map[string]any{
		"username": user(tenant), "webmail_url": f.mailu.Origin() + "/webmail", "password": sealed,
		"created_at": born, "last_rotated": born, "key_version": f.keys.Newest().Version,
	}))
	f.tenants = append(f.tenants, tenant)
}

// configure writes the service's configuration; it names the credentials as the README
// does.
func (f *fleet) configure(t *testing.T, schedule string) {
	t.Helper()
	config := map[string]any{
		"vault": map[string]any{
			"address": f.vault.Addr,
			"auth":    map[string]any{"method": "token_file", "token_file": "$CREDENTIALS_DIRECTORY/vault-token"},
		},
		"mailu": map[string]any{"servers": []any{map[string]any{"origin": f.mailu.Origin(), "token_file": "$CREDENTIALS_DIRECTORY/mailu.token", "timeout": "4s"}}},
		// Short, so that the claims of a killed process expire soon.
		"rotation": map[string]any{"schedule": schedule, "jitter": "0s", "claim_ttl": "5s"},
		"verify":   map[string]any{"schedule": ""},
		"listen":   map[string]any{"address": "unix:/run/mailu-rotator/http.sock"},
	}
	if f.nats != nil {
		config["cluster"] = map[string]any{"engine": "nats", "servers": []any{f.nats.URL}, "batch": 1}
		config["rotation"].(map[string]any)["claim_ttl"] = "40s" // longer than cluster.ack_wait
	}
	text, err := json.MarshalIndent(config, "", "  ") // JSON is YAML
	must(t, err)
	must(t, os.WriteFile(configFile, text, 0o640))
	run(t, "chown", "root:mailu-rotator", configFile)
}

// record returns a tenant's record in Vault, and how often it has been written.
func (f *fleet) record(ctx context.Context, tenant string) (fields map[string]any, version int, err error) {
	return f.vault.Get(ctx, vaulttest.DefaultLayout().Path(tenant))
}

// settled returns an error unless nothing is pending and the password in Vault opens
// the account.
func (f *fleet) settled(ctx context.Context, tenant string) error {
	fields, _, err := f.record(ctx, tenant)
	if err != nil {
		return err
	}
	if _, found := fields["pending"]; found {
		return fmt.Errorf("%s: half-finished", tenant)
	}
	password, err := vaultread.Open(f.keys, tenant, fields)
	if err != nil {
		return err
	}
	defer password.Wipe()
	if !f.mailu.Accepts(user(tenant), password.RevealString()) {
		return fmt.Errorf("%s: locked out", tenant)
	}
	return nil
}

// awaitRotation waits until every tenant's password has been set that many times.
func (f *fleet) awaitRotation(t *testing.T, sets int) {
	t.Helper()
	for _, tenant := range f.tenants {
		await(t, fmt.Sprintf("rotation %d of %s", sets, tenant), func() error {
			if got := f.mailu.PasswordSets(user(tenant)); got < sets {
				return fmt.Errorf("%d password sets", got)
			}
			return f.settled(t.Context(), tenant)
		})
	}
}

// startARotation starts the daemon and returns when Mailu has a new password that the
// daemon does not know about yet.
func (f *fleet) startARotation(t *testing.T) {
	t.Helper()
	f.mailu.Inject(mailutest.Fault{Kind: mailutest.DelayAfter, Method: "PATCH", Delay: patience / 20, Times: 1})
	f.configure(t, often)
	f.start(t)
	await(t, "a push in flight", func() error {
		for _, tenant := range f.tenants {
			if f.mailu.PasswordSets(user(tenant)) > 0 {
				return nil
			}
		}
		return errors.New("none yet")
	})
}

// mustBeSettled judges a fleet that no process rotates: a rotation between the two
// questions of settled looks like a lock-out.
func (f *fleet) mustBeSettled(t *testing.T) {
	t.Helper()
	for _, tenant := range f.tenants {
		if err := f.settled(t.Context(), tenant); err != nil {
			t.Error(err)
		}
	}
}
