package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/crypto"
)

// vault reads records and opens passwords. Token and keys are in memory only.
type vault struct {
	client *api.Client
	keys   *crypto.Keyring
}

func newVault() (*vault, error) {
	config := api.DefaultConfig()  // with VAULT_ADDR
	config.DisableRedirects = true // the token is for Vault alone
	client, err := api.NewClient(config)
	return &vault{client, new(crypto.Keyring)}, err
}

// record is a tenant's record at one version.
type record struct {
	Metadata struct{ Version int }
	Data     struct {
		Username string
		part
		Pending *part
	}
}

// part is what it takes to open a password: of the record, or of what is pending.
type part struct {
	Password    crypto.SealedPassword
	LastRotated string            `json:"last_rotated"` // the exact string: the key depends on it
	KeyVersion  crypto.KeyVersion `json:"key_version"`  // 0 in a record written elsewhere: any
}

func (r record) offers() (offers []*offer) {
	pending := r.Data.Pending
	if r.Data.Password != "" || pending == nil { // a tenant that is being added has only the pending one
		offers = append(offers, &offer{which: "current", part: r.Data.part})
	}
	if pending != nil {
		offers = append(offers, &offer{which: "pending", part: *pending})
	}
	return offers
}

func (v *vault) record(ctx context.Context, tenant string) (r record, err error) {
	if len(tenant) != 36 || strings.Trim(tenant, "0123456789abcdefABCDEF-") != "" { // it could be another path
		return r, fmt.Errorf("%q is not a tenant's id", tenant)
	}
	err = v.read(ctx, "vault/data/smtp/"+tenant+"/admin", &r)
	return r, err
}

// open opens the offered password, once. If no key fits, there may be a new one.
func (v *vault) open(ctx context.Context, tenant string, o *offer) (err error) {
	if !o.password.Empty() {
		return nil
	}
	from := crypto.Binding{TenantID: tenant, LastRotated: o.LastRotated}
	if o.password, err = v.keys.Open(o.KeyVersion, from, o.Password); err == nil {
		return nil
	}
	var exported struct{ Keys map[crypto.KeyVersion][]byte }
	if err = v.read(ctx, "transit/export/encryption-key/smtp-master", &exported); err != nil {
		return err
	}
	keys, err := crypto.NewKeyring(exported.Keys)
	if err != nil {
		return err
	}
	v.keys = keys
	o.password, err = keys.Open(o.KeyVersion, from, o.Password)
	return err
}

func (v *vault) read(ctx context.Context, path string, data any) error {
	answer, err := v.client.Logical().ReadRawWithContext(ctx, path)
	var refusal *api.ResponseError
	if errors.As(err, &refusal) && refusal.StatusCode == 403 { // no token yet, or it has expired
		if err := v.logIn(ctx); err != nil {
			return err
		}
		answer, err = v.client.Logical().ReadRawWithContext(ctx, path)
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return answer.DecodeJSON(&struct{ Data any }{data})
}

func (v *vault) logIn(ctx context.Context) error {
	credentials := map[string]any{}
	for field, name := range map[string]string{"role_id": "role-id", "secret_id": "secret-id"} {
		text, err := os.ReadFile(filepath.Join(os.Getenv("CREDENTIALS_DIRECTORY"), name))
		if err != nil {
			return err
		}
		credentials[field] = strings.TrimSpace(string(text))
	}
	answer, err := v.client.Logical().WriteWithContext(ctx, "auth/approle/login", credentials)
	if err != nil {
		return err
	}
	v.client.SetToken(answer.Auth.ClientToken)
	return nil
}
