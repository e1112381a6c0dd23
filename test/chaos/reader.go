package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/crypto"
	"mailu-rotator/test/vaultread"
	"mailu-rotator/vault/vaulttest"
)

// reader is this run's own access to Vault: it reads with the root token, without
// proxies, and opens each sealed password once.
type reader struct {
	kv     *api.KVv2
	layout vaulttest.Layout
	keys   *crypto.Keyring
	master [][]byte // a copy of each version of the key
	opened sync.Map // sealed password and what it is bound to -> password
	sealed sync.Map // sealed passwords
}

func newReader(ctx context.Context, client *api.Client, l vaulttest.Layout) (*reader, error) {
	keys, err := vaultread.MasterKeys(ctx, client, l.TransitMount, l.TransitKey)
	if err != nil {
		return nil, err
	}
	r := &reader{kv: client.KVv2(l.Mount), layout: l}
	for _, key := range keys {
		r.master = append(r.master, slices.Clone(key))
	}
	r.keys, err = crypto.NewKeyring(keys)
	return r, err
}

// record is one version of a tenant's record, opened.
type record struct {
	version int
	created time.Time
	fields  map[string]any
	current string
	pending string // "" if none
}

// errDeleted: the requested version is deleted, and can be undeleted.
var errDeleted = errors.New("deleted")

// read returns version n of a tenant's record; 0 is the newest. For a deleted one it
// returns the number, and errDeleted.
func (r *reader) read(ctx context.Context, tenant string, n int) (record, error) {
	secret, err := r.kv.GetVersion(ctx, r.layout.Path(tenant), n)
	if err != nil {
		return record{}, err
	}
	if secret.Data == nil {
		number := secret.VersionMetadata.Version
		return record{version: number}, fmt.Errorf("version %d of %s: %w", number, tenant, errDeleted)
	}
	rec := record{version: secret.VersionMetadata.Version, created: secret.VersionMetadata.CreatedTime, fields: secret.Data}
	rec.current = r.open(tenant, rec.fields)
	if pending, isMap := rec.fields["pending"].(map[string]any); isMap {
		rec.pending = r.open(tenant, pending)
	}
	return rec, nil
}

// takeovers is how often the claim of the pending password was rewritten.
func (r record) takeovers() int {
	pending, _ := r.fields["pending"].(map[string]any)
	number, _ := pending["takeovers"].(json.Number)
	n, _ := number.Int64() // 0 if missing
	return int(n)
}

// open returns unreadable if the password does not open.
func (r *reader) open(tenant string, fields map[string]any) string {
	key := fmt.Sprint(tenant, fields["last_rotated"], fields["key_version"], fields["password"])
	if known, found := r.opened.Load(key); found {
		return known.(string)
	}
	password := unreadable
	if secret, err := vaultread.Open(r.keys, tenant, fields); err == nil {
		password = secret.RevealString()
	}
	r.remember(key, password, fields["password"])
	return password
}

// seal returns the stored fields of a password, and remembers the password.
func (r *reader) seal(tenant, password, lastRotated string) (map[string]any, error) {
	sealed, version, err := r.keys.Seal(crypto.Binding{TenantID: tenant, LastRotated: lastRotated}, crypto.SecretFromString(password))
	fields := map[string]any{"password": string(sealed), "last_rotated": lastRotated, "key_version": json.Number(fmt.Sprint(version))}
	r.remember(fmt.Sprint(tenant, fields["last_rotated"], fields["key_version"], fields["password"]), password, fields["password"])
	return fields, err
}

func (r *reader) remember(key, password string, sealed any) {
	r.opened.Store(key, password)
	r.sealed.Store(sealed, true)
}

// age seals the record's current password again, with an old date.
func (r *reader) age(tenant string, rec record) error {
	aged, err := r.seal(tenant, rec.current, time.Now().AddDate(0, 0, -400).UTC().Format(time.RFC3339Nano))
	if err == nil {
		maps.Copy(rec.fields, aged)
	}
	return err
}

// write stores a record over the version from which it was read.
func (r *reader) write(ctx context.Context, tenant string, onto int, fields map[string]any) error {
	_, err := r.kv.Put(ctx, r.layout.Path(tenant), fields, api.WithCheckAndSet(onto))
	return err
}

// undelete restores versions that Vault has deleted or is going to delete.
func (r *reader) undelete(ctx context.Context, tenant string, versions ...int) error {
	return r.kv.Undelete(ctx, r.layout.Path(tenant), versions)
}
