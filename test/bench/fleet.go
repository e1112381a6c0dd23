package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"mailu-rotator/crypto"
	"mailu-rotator/vault/vaulttest"
)

// fleet is a number of tenants under their own prefix, evenly spread over Mailu
// servers.
type fleet struct {
	prefix  string
	tenants int
	age     time.Duration
	mailus  []string // origins
	slow    []string // additional servers: each has slowTenants more tenants, which are older
	vault   string   // address; empty: the real one
	nats    string   // URL; empty: no cluster
	// Further settings of the program's configuration:
	verify    string
	atATime   int // requests to a Mailu server; 0: maxConcurrent
	listen    string
	pprof     bool
	schedule  string // of sweeps
	noCanary  bool
	apart     bool   // the program has cores that Vault and Mailu do not use
	config    string // the file, set by prepare
	tokenFile string
}

const (
	young = 10 * 24 * time.Hour  // not due
	old   = 400 * 24 * time.Hour // due
	never = "0 0 29 2 *"         // no sweep except the daemon's first
)

func tenantID(i int) string { return fmt.Sprintf("%08x-5eed-4000-8000-%012x", i, i) }

func userOf(i int) string { return fmt.Sprintf("admin@tenant%07d.example", i) }

// prepare writes the fleet's records and its configuration.
func (s *stage) prepare(ctx context.Context, f *fleet) (err error) {
	if err = s.writeConfig(f); err != nil {
		return err
	}
	if f.vault != "" {
		return nil // a simulated Vault checks no token and has the records
	}
	if _, err = s.allow(ctx, f.config, f.prefix); err != nil {
		return err
	}
	return s.seed(ctx, f)
}

// writeConfig writes a configuration, as JSON, which is YAML.
func (s *stage) writeConfig(f *fleet) (err error) {
	if f.tokenFile, err = s.file(f.prefix+".token", "none-yet"); err != nil {
		return err
	}
	mailuToken, err := s.file("mailu.token", mailuToken)
	if err != nil {
		return err
	}
	var servers []any
	for _, m := range slices.Concat(f.mailus, f.slow) {
		servers = append(servers, map[string]any{
			"origin": m, "token_file": mailuToken, "timeout": "2m", "max_concurrent": cmp.Or(f.atATime, maxConcurrent), "verify": orElse(f.verify, "hash"),
		})
	}
	settings := map[string]any{
		"vault": map[string]any{
			"address": orElse(f.vault, s.vault.Addr), "prefix": f.prefix,
			"auth": map[string]any{"method": "token_file", "token_file": f.tokenFile},
		},
		"mailu": map[string]any{"servers": servers},
		"rotation": map[string]any{
			"schedule": orElse(f.schedule, never), "jitter": "0s", "canary": !f.noCanary,
		},
		"verify": map[string]any{"schedule": ""},
		"listen": map[string]any{"address": f.listen, "pprof": f.pprof},
		"log":    map[string]any{"format": "json"},
	}
	if f.nats != "" {
		settings["cluster"] = map[string]any{"engine": "nats", "servers": []string{f.nats}}
	}
	text, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	f.config, err = s.file(f.prefix+".yaml", string(text))
	return err
}

func orElse(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// seed writes the records, unless the prefix has them. Nobody opens their passwords, so
// all records share one sealed password.
func (s *stage) seed(ctx context.Context, f *fleet) error {
	if s.seeded[f.prefix] {
		return nil
	}
	s.seeded[f.prefix] = true
	sealed, err := someSealedPassword()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i := 0; i < f.tenants+slowTenants*len(f.slow) && ctx.Err() == nil; i++ {
		group.Go(func() error { return s.put(ctx, f.prefix, i, f.record(i, sealed)) })
	}
	return group.Wait()
}

func (f *fleet) record(i int, sealed crypto.SealedPassword) map[string]any {
	if i >= f.tenants {
		return recordOf(i, f.slow[i%len(f.slow)], f.age+young, sealed)
	}
	return recordOf(i, f.mailus[i%len(f.mailus)], f.age, sealed)
}

// recordOf is a tenant's record as other programs write it.
func recordOf(i int, origin string, age time.Duration, sealed crypto.SealedPassword) map[string]any {
	rotated := time.Now().Add(-age).UTC().Format("2006-01-02T15:04:05.000Z")
	return map[string]any{
		"username": userOf(i), "password": sealed, "webmail_url": origin + "/webmail",
		"created_at": rotated, "last_rotated": rotated, "key_version": 1, "rotation_policy": "180_days",
	}
}

func someSealedPassword() (crypto.SealedPassword, error) {
	keys, err := crypto.NewKeyring(map[crypto.KeyVersion][]byte{1: bytes.Repeat([]byte{7}, 32)})
	if err != nil {
		return "", err
	}
	defer keys.Wipe()
	sealed, _, err := keys.Seal(crypto.Binding{TenantID: tenantID(0), LastRotated: "2026-01-02T03:04:05.678Z"},
		crypto.SecretFromString("Thirty-two-characters.of.secret1"))
	return sealed, err
}

// put writes a record without Vault's client, which would take longer.
func (s *stage) put(ctx context.Context, prefix string, tenant int, fields map[string]any) error {
	body, err := json.Marshal(map[string]any{"data": fields})
	if err != nil {
		return err
	}
	url := s.vault.Addr + "/v1/" + vaulttest.DefaultLayout().Mount + "/data/" + prefix + "/" + tenantID(tenant) + "/admin"
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-Vault-Token", s.vault.RootToken)
	resp, err := s.http.Do(req)
	if err != nil {
		return fmt.Errorf("seed %s: %w", prefix, err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("seed %s: vault answered %s", prefix, resp.Status)
	}
	return nil
}
