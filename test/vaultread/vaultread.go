// Package vaultread reads Vault independently of the program, for judges that must not
// trust it: the demo, the command's tests, the chaos run. The envelope format is all
// that it shares with the program.
package vaultread

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/crypto"
)

// MasterKeys exports every version of a Transit key. The caller must wipe them, or the
// keyring made from them.
func MasterKeys(ctx context.Context, client *api.Client, mount, key string) (map[crypto.KeyVersion][]byte, error) {
	path := mount + "/export/encryption-key/" + key
	exported, err := client.Logical().ReadWithContext(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("export master key: %w", err)
	}
	if exported == nil {
		return nil, fmt.Errorf("export master key: nothing at %s", path)
	}
	values, _ := exported.Data["keys"].(map[string]any)
	keys := make(map[crypto.KeyVersion][]byte, len(values))
	for name, value := range values {
		version, err := strconv.Atoi(name)
		if err != nil {
			return nil, fmt.Errorf("master key version %q: %w", name, err)
		}
		text, _ := value.(string)
		if keys[crypto.KeyVersion(version)], err = base64.StdEncoding.DecodeString(text); err != nil {
			return nil, fmt.Errorf("master key version %d: %w", version, err)
		}
	}
	return keys, nil
}

// Open opens the password in fields, which are a tenant's record or its pending part.
func Open(keys *crypto.Keyring, tenant string, fields map[string]any) (crypto.Secret, error) {
	lastRotated, _ := fields["last_rotated"].(string)
	number, _ := fields["key_version"].(json.Number)
	version, _ := number.Int64() // 0, which tries all versions, if none is recorded
	sealed, _ := fields["password"].(string)
	password, err := keys.Open(crypto.KeyVersion(version), crypto.Binding{TenantID: tenant, LastRotated: lastRotated}, crypto.SealedPassword(sealed))
	if err != nil {
		return crypto.Secret{}, fmt.Errorf("open the password of %s: %w", tenant, err)
	}
	return password, nil
}
