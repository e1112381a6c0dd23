package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/rotator"
)

// Read returns the newest version of the tenant's record, numbers as json.Number.
// [rotator.ErrAbsent] covers a record that never existed and one whose newest version
// is deleted or destroyed; the error says which.
func (c *Client) Read(ctx context.Context, tenant rotator.TenantID) (rotator.Document, error) {
	return c.read(ctx, tenant, nil)
}

// ReadVersion returns an earlier version of the record. It needs no more permission
// than Read. [rotator.ErrAbsent] covers a version that is deleted, destroyed or dropped
// from the history.
func (c *Client) ReadVersion(ctx context.Context, tenant rotator.TenantID, version int) (rotator.Document, error) {
	return c.read(ctx, tenant, url.Values{"version": {strconv.Itoa(version)}})
}

func (c *Client) read(ctx context.Context, tenant rotator.TenantID, query url.Values) (rotator.Document, error) {
	path, err := dataPath(c.cfg, tenant)
	if err != nil {
		return rotator.Document{}, err
	}
	var rec record
	err = c.do(ctx, call{
		verb: "read", path: path,
		rule: dataRule(c.cfg), capability: "read",
	}, func(ctx context.Context, client *api.Client) (err error) {
		rec, err = recordOf(client.Logical().ReadRawWithDataWithContext(ctx, path, query))
		return err
	})
	if errors.Is(err, errTooLarge) {
		err = fmt.Errorf("%w: no record of more than %d MiB is read; take out what does not belong in it", err, maxRecordSize>>20)
	}
	if err != nil {
		return rotator.Document{}, err
	}
	doc, err := rec.document()
	if err != nil {
		return rotator.Document{}, fmt.Errorf("read %s: %w", path, err)
	}
	return doc, nil
}

// record is Vault's answer to a read. The answer for a deleted version has status 404,
// as if it never existed, but includes metadata.
type record struct {
	absent bool
	Data   struct {
		Data     map[string]any
		Metadata *metadata
	}
}

type metadata struct {
	Version      json.Number
	CreatedTime  string `json:"created_time"`
	DeletionTime string `json:"deletion_time"`
	Destroyed    bool
}

// recordOf decodes an answer once. The API client would decode, compare and copy it,
// and this package would decode it again. A 404 that is neither Vault's error nor a
// deleted version stays an error.
func recordOf(resp *api.Response, err error) (r record, _ error) {
	absence := err
	if r.absent = statusOf(err) == 404; r.absent {
		err = nil
	}
	body, err := readBody(resp, err)
	if err != nil {
		return r, err
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	err = decoder.Decode(&r)
	if r.absent && r.Data.Metadata == nil && !isVaults(absence) {
		return r, absence
	}
	return r, err
}

func (r record) document() (rotator.Document, error) {
	m := r.Data.Metadata
	switch {
	case m == nil && r.absent:
		return rotator.Document{}, rotator.ErrAbsent
	case m == nil:
		return rotator.Document{}, errors.New("vault's answer is not that of a KV version 2 mount")
	}
	version, err := versionOf(m.Version)
	if err != nil {
		return rotator.Document{}, err
	}
	written, _ := time.Parse(time.RFC3339, m.CreatedTime)  // zero if Vault does not say
	deleted, _ := time.Parse(time.RFC3339, m.DeletionTime) // zero if Vault does not delete the version
	if r.Data.Data != nil {
		return rotator.Document{Version: version, Fields: r.Data.Data, Written: written, Expires: deleted}, nil
	}
	// A delete_version_after counts in whole seconds. A manual deletion matches a whole
	// second once in a billion.
	expired := !written.IsZero() && deleted.After(written) && deleted.Sub(written)%time.Second == 0
	how := "has no data"
	switch {
	case m.Destroyed:
		how = "is destroyed"
	case expired:
		how = fmt.Sprintf("deleted itself at %s, by delete_version_after (`vault kv undelete` brings it back)", m.DeletionTime)
	case m.DeletionTime != "":
		how = fmt.Sprintf("was deleted at %s (`vault kv undelete` brings it back)", m.DeletionTime)
	}
	return rotator.Document{}, &rotator.DeletedError{Version: version, Expired: expired, Err: fmt.Errorf("version %d %s", version, how)}
}

// Write stores doc.Fields as the version after doc.Version, if that is still the
// current one, and returns the new version. See [rotator.Store] for the guarantees of
// its errors. Without the policy's "create", Vault refuses to write a record whose
// metadata was deleted: [rotator.ErrForbidden]. A soft delete keeps the version number,
// so a write that was prepared before it restores the record.
func (c *Client) Write(ctx context.Context, tenant rotator.TenantID, doc rotator.Document) (int, error) {
	if doc.Version < 1 {
		return 0, fmt.Errorf("write the record of %s: version %d: this changes a record and never creates one", tenant, doc.Version)
	}
	return c.put(ctx, tenant, "update", doc)
}

// Create stores fields as the first version of the tenant's record. If a record exists,
// or was deleted but still has its metadata, the error is [rotator.ErrConflict]. It
// needs the policy's "create", which [Policy] leaves out and [AddingPolicy] has.
func (c *Client) Create(ctx context.Context, tenant rotator.TenantID, fields map[string]any) (int, error) {
	return c.put(ctx, tenant, "create", rotator.Document{Fields: fields})
}

// put writes by check-and-set on doc.Version, which is 0 for a new record.
func (c *Client) put(ctx context.Context, tenant rotator.TenantID, capability string, doc rotator.Document) (int, error) {
	path, err := dataPath(c.cfg, tenant)
	if err != nil {
		return 0, err
	}
	written, err := ask[struct{ Version json.Number }](ctx, c, call{
		verb: "write", path: path,
		rule: dataRule(c.cfg), capability: capability,
	}, path, map[string]any{
		"options": map[string]any{"cas": doc.Version},
		"data":    doc.Fields,
	})
	switch {
	case says(err, "check-and-set parameter did not match"):
		return 0, fmt.Errorf("%w (expected version %d): %w", rotator.ErrConflict, doc.Version, err)
	case statusOf(err) == 404 && isVaults(err):
		return 0, fmt.Errorf("%w: %w", rotator.ErrAbsent, err)
	case err != nil:
		return 0, err
	}
	version, err := versionOf(written.Version)
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", path, err)
	}
	return version, nil
}

func versionOf(number json.Number) (int, error) {
	version, err := number.Int64()
	if err != nil || version < 1 || version > 1<<31-1 {
		return 0, errors.New("vault's answer has no version")
	}
	return int(version), nil
}

// MayRemove returns [rotator.ErrForbidden] if the token may not [Client.Remove] the
// tenant's record: ask before anything is changed.
func (c *Client) MayRemove(ctx context.Context, tenant rotator.TenantID) error {
	what, err := removalOf(c.cfg, tenant)
	if err != nil {
		return err
	}
	held, err := c.capabilities(ctx, what.path)
	if err != nil {
		return err
	}
	if slices.Contains(held[what.path], "root") || slices.Contains(held[what.path], what.capability) {
		return nil
	}
	return fmt.Errorf("%s %s: %w; the token's policy needs: path %q { capabilities = [%q] }", what.verb, what.path, rotator.ErrForbidden, what.rule, what.capability)
}

// Remove deletes the tenant's record, with all versions and its metadata, for good. That
// is not check-and-set, see [rotator.Withdraw]. It is no error if there is no record. It
// needs what [RemovingPolicy] adds.
func (c *Client) Remove(ctx context.Context, tenant rotator.TenantID) error {
	what, err := removalOf(c.cfg, tenant)
	if err != nil {
		return err
	}
	return c.do(ctx, what, func(ctx context.Context, client *api.Client) error {
		_, err := client.Logical().DeleteWithContext(ctx, what.path)
		return err
	})
}

func removalOf(cfg Config, tenant rotator.TenantID) (call, error) {
	path, err := metadataPath(cfg, tenant)
	return call{verb: "remove", path: path, rule: metadataRule(cfg), capability: "delete"}, err
}
