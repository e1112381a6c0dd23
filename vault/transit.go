package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/crypto"
)

const masterKeyType = "aes256-gcm96"

var (
	// ErrNoMasterKey: Transit has no key of the configured name.
	ErrNoMasterKey = errors.New("no such transit key")
	// ErrNotExportable: the key exists, but Transit does not export it.
	ErrNotExportable = errors.New("transit key is not exportable")
	// ErrWrongKeyType: the key is not AES-256.
	ErrWrongKeyType = errors.New("transit key is not AES-256")
)

// MasterKeys exports every version from the key's min_decryption_version on. The caller
// must wipe the keyring.
func (c *Client) MasterKeys(ctx context.Context) (*crypto.Keyring, error) {
	path, key := exportPath(c.cfg), c.cfg.Transit.Key
	var body []byte
	defer func() { clear(body) }()
	err := c.do(ctx, call{
		verb: "export", path: path,
		rule: path, capability: "read",
	}, func(ctx context.Context, client *api.Client) (err error) {
		// Raw, because the decoded form would be strings, which cannot be wiped.
		body, err = readBody(client.Logical().ReadRawWithContext(ctx, path))
		return err
	})
	switch {
	case statusOf(err) == 404:
		return nil, fmt.Errorf("%w: %q: create it with `%s`, or check the transit mount: %w", ErrNoMasterKey, key, c.cfg.Transit.createCommand(), err)
	case says(err, "not exportable"):
		return nil, fmt.Errorf("%w: %q: allow it with `%s`: %w", ErrNotExportable, key, c.cfg.Transit.exportCommand(), err)
	case err != nil:
		return nil, err
	}
	ring, err := keyring(body)
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", path, err)
	}
	return ring, nil
}

func (t Transit) createCommand() string {
	return fmt.Sprintf("vault write %s/keys/%s type=%s exportable=true", t.Mount, t.Key, masterKeyType)
}

func (t Transit) exportCommand() string {
	return fmt.Sprintf("vault write %s/keys/%s/config exportable=true", t.Mount, t.Key)
}

// readBody reads into one buffer of the right size: a growing buffer leaves copies
// behind.
func readBody(resp *api.Response, err error) ([]byte, error) {
	if resp != nil {
		defer resp.Body.Close()
	}
	if err != nil {
		return nil, err
	}
	buffer := bytes.NewBuffer(make([]byte, 0, min(max(resp.ContentLength, 0), maxRecordSize)+bytes.MinRead))
	_, err = io.Copy(buffer, resp.Body)
	return buffer.Bytes(), err
}

// keyring decodes the answer of transit/export. It wipes every key that the keyring does
// not take.
func keyring(body []byte) (ring *crypto.Keyring, err error) {
	var answer struct {
		Data struct {
			Type string            `json:"type"`
			Keys map[string][]byte `json:"keys"` // base64
		} `json:"data"`
	}
	defer func() {
		if err == nil {
			return
		}
		for _, key := range answer.Data.Keys {
			clear(key)
		}
	}()
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, errors.New("vault's answer is not JSON of the expected form") // the decoder's error may quote it
	}
	// Vault before 1.14 does not return the type; the length is checked anyway.
	if kind := answer.Data.Type; kind != "" && kind != masterKeyType {
		return nil, fmt.Errorf("%w: its type is %q, need %q", ErrWrongKeyType, kind, masterKeyType)
	}
	keys := make(map[crypto.KeyVersion][]byte, len(answer.Data.Keys))
	for name, key := range answer.Data.Keys {
		version, err := strconv.Atoi(name)
		if err != nil || strconv.Itoa(version) != name {
			return nil, fmt.Errorf("key version %.20q is not a number", name)
		}
		if len(key) != crypto.KeySize {
			return nil, fmt.Errorf("%w: version %d has %d bytes, need %d", ErrWrongKeyType, version, len(key), crypto.KeySize)
		}
		keys[crypto.KeyVersion(version)] = key
	}
	return crypto.NewKeyring(keys)
}
