package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/rotator"
)

// List returns the names of all entries under the prefix, each once: folders,
// which is what tenants are, and also plain records, so that whatever does not
// belong there is reported. No entries at all is [rotator.ErrNoTenants].
func (c *Client) List(ctx context.Context) ([]string, error) {
	var secret *api.Secret
	path := listPath(c.cfg)
	err := c.do(ctx, call{
		verb: "list", path: path + "/",
		rule: listRule(c.cfg), capability: "list",
	}, func(ctx context.Context, client *api.Client) (err error) {
		secret, err = client.Logical().ListWithContext(ctx, path)
		return err
	})
	if err != nil {
		return nil, err
	}
	names, err := entryNames(secret)
	if err != nil {
		return nil, fmt.Errorf("list %s/: %w", path, err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("list %s/: %w: check the prefix %q of mount %q and the namespace %q", path, rotator.ErrNoTenants, c.cfg.Prefix, c.cfg.Mount, c.cfg.Namespace)
	}
	return names, nil
}

func entryNames(secret *api.Secret) ([]string, error) {
	if secret == nil {
		return nil, nil
	}
	keys, ok := secret.Data["keys"].([]any)
	if !ok {
		return nil, errors.New("vault's answer has no list of keys")
	}
	names := make([]string, 0, len(keys))
	seen := make(map[string]bool, len(keys))
	for _, key := range keys {
		entry, ok := key.(string)
		if !ok {
			return nil, errors.New("vault's list holds something that is not a name")
		}
		// A name can be a folder and a record at once.
		name := strings.TrimSuffix(entry, "/")
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names, nil
}

// Read returns the newest version of the tenant's record, numbers as
// json.Number. [rotator.ErrAbsent] covers a record that never was and one whose
// newest version is deleted or destroyed; the error says which.
func (c *Client) Read(ctx context.Context, tenant rotator.TenantID) (rotator.Document, error) {
	return c.read(ctx, tenant, nil)
}

// ReadVersion returns the record as it was at an earlier version. It needs no
// more permission than Read. [rotator.ErrAbsent] covers a version that is
// deleted, destroyed or dropped from the history.
func (c *Client) ReadVersion(ctx context.Context, tenant rotator.TenantID, version int) (rotator.Document, error) {
	return c.read(ctx, tenant, url.Values{"version": {strconv.Itoa(version)}})
}

func (c *Client) read(ctx context.Context, tenant rotator.TenantID, query url.Values) (rotator.Document, error) {
	path, err := dataPath(c.cfg, tenant)
	if err != nil {
		return rotator.Document{}, err
	}
	var secret *api.Secret
	err = c.do(ctx, call{
		verb: "read", path: path,
		rule: dataRule(c.cfg), capability: "read",
	}, func(ctx context.Context, client *api.Client) (err error) {
		secret, err = client.Logical().ReadWithDataWithContext(ctx, path, query)
		return err
	})
	if err != nil {
		return rotator.Document{}, err
	}
	doc, err := document(secret)
	if err != nil {
		return rotator.Document{}, fmt.Errorf("read %s: %w", path, err)
	}
	return doc, nil
}

func document(secret *api.Secret) (rotator.Document, error) {
	if secret == nil {
		return rotator.Document{}, rotator.ErrAbsent
	}
	metadata, ok := secret.Data["metadata"].(map[string]any)
	if !ok {
		return rotator.Document{}, errors.New("vault's answer is not that of a KV version 2 mount")
	}
	version, err := versionOf(metadata)
	if err != nil {
		return rotator.Document{}, err
	}
	fields, ok := secret.Data["data"].(map[string]any)
	if ok {
		return rotator.Document{Version: version, Fields: fields, Written: writtenAt(metadata)}, nil
	}
	return rotator.Document{}, &rotator.DeletedError{Version: version, Err: deletion(metadata, version)}
}

func writtenAt(metadata map[string]any) time.Time {
	stored, _ := metadata["created_time"].(string)
	at, _ := time.Parse(time.RFC3339, stored) // zero where Vault does not say
	return at
}

func deletion(metadata map[string]any, version int) error {
	if destroyed, _ := metadata["destroyed"].(bool); destroyed {
		return fmt.Errorf("version %d is destroyed", version)
	}
	if at, _ := metadata["deletion_time"].(string); at != "" {
		return fmt.Errorf("version %d was deleted at %s (`vault kv undelete` brings it back)", version, at)
	}
	return fmt.Errorf("version %d has no data", version)
}

// Write stores doc.Fields as the version after doc.Version, if that is still
// the current one, and returns the new version. See [rotator.Store] for what
// its errors promise. Without the policy's "create" a record whose metadata was
// deleted is refused with [rotator.ErrForbidden]. A soft delete leaves the
// version as it is, so a write that was prepared before it brings the record
// back.
func (c *Client) Write(ctx context.Context, tenant rotator.TenantID, doc rotator.Document) (int, error) {
	path, err := dataPath(c.cfg, tenant)
	if err != nil {
		return 0, err
	}
	if doc.Version < 1 {
		return 0, fmt.Errorf("write %s: version %d: this changes a record and never creates one", path, doc.Version)
	}
	return c.put(ctx, path, "update", doc)
}

// Create stores fields as the first version of the tenant's record. A record
// that is there, or was and has its metadata still, is a [rotator.ErrConflict].
// It needs the policy's "create", which [Policy] leaves out and [AddingPolicy]
// has.
func (c *Client) Create(ctx context.Context, tenant rotator.TenantID, fields map[string]any) (int, error) {
	path, err := dataPath(c.cfg, tenant)
	if err != nil {
		return 0, err
	}
	return c.put(ctx, path, "create", rotator.Document{Fields: fields})
}

// put writes by check-and-set on doc.Version; that of a record that is to be
// made is 0.
func (c *Client) put(ctx context.Context, path, capability string, doc rotator.Document) (int, error) {
	var secret *api.Secret
	err := c.do(ctx, call{
		verb: "write", path: path,
		rule: dataRule(c.cfg), capability: capability,
	}, func(ctx context.Context, client *api.Client) (err error) {
		secret, err = client.Logical().WriteWithContext(ctx, path, map[string]any{
			"options": map[string]any{"cas": doc.Version},
			"data":    doc.Fields,
		})
		return err
	})
	switch {
	case says(err, "check-and-set parameter did not match"):
		return 0, fmt.Errorf("%w (expected version %d): %w", rotator.ErrConflict, doc.Version, err)
	case statusOf(err) == 404:
		return 0, fmt.Errorf("%w: %w", rotator.ErrAbsent, err)
	case err != nil:
		return 0, err
	}
	if secret == nil {
		return 0, fmt.Errorf("write %s: vault's answer is empty", path)
	}
	version, err := versionOf(secret.Data)
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", path, err)
	}
	return version, nil
}

func versionOf(data map[string]any) (int, error) {
	number, _ := data["version"].(json.Number)
	version, err := number.Int64()
	if err != nil || version < 1 || version > 1<<31-1 {
		return 0, errors.New("vault's answer has no version")
	}
	return int(version), nil
}
