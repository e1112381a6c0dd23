package rotator

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"mailu-rotator/crypto"
)

// Names of the record's fields, as stored (DESIGN.md, section 1).
const (
	fieldUsername    = "username"
	fieldPassword    = "password"
	fieldWebmailURL  = "webmail_url"
	fieldCreatedAt   = "created_at"
	fieldLastRotated = "last_rotated"
	fieldPolicy      = "rotation_policy"
	fieldKeyVersion  = "key_version"
	fieldPending     = "pending"
)

// Credential is one tenant's record, understood. The fields of others stay in
// it and are written back as they were.
type Credential struct {
	Tenant      TenantID
	Version     int       // of the record it was read from or written as
	Written     time.Time // when the record that was read was stored; zero if nobody tells
	Username    string
	Origin      Origin
	Password    crypto.SealedPassword // "" while the tenant is being added
	CreatedAt   string                // as stored; may be missing or not a timestamp
	LastRotated string                // as stored; part of the key derivation
	Policy      Policy
	KeyVersion  crypto.KeyVersion // 0: not recorded
	Pending     *Pending          // nil at rest

	fields map[string]any
}

// ParseCredential reads a record. The default policy is that of a record without
// one; its spread holds for any. Where fields are malformed it returns all
// complaints in one error, beside a Credential that has what could be read, so
// that a report can show it; such a record must not be rotated.
func ParseCredential(tenant TenantID, doc Document, defaultPolicy Policy) (Credential, error) {
	c, err := parseFields(tenant, doc, defaultPolicy)
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return c, nil
}

func parseFields(tenant TenantID, doc Document, defaultPolicy Policy) (Credential, error) {
	c := Credential{Tenant: tenant, Version: doc.Version, Written: doc.Written, fields: doc.Fields}
	r := fieldReader{fields: doc.Fields}
	c.Username = r.required(fieldUsername)
	if c.Username != "" {
		r.check(checkUsername(c.Username))
	}
	c.Password = r.currentPassword(doc.Version)
	if webmail := r.required(fieldWebmailURL); webmail != "" {
		origin, err := ParseOrigin(webmail)
		if err != nil {
			r.check(fmt.Errorf("%s: %w", fieldWebmailURL, err))
		}
		c.Origin = origin
	}
	// An unusable timestamp is not malformed: the age falls back on another.
	c.CreatedAt, _ = doc.Fields[fieldCreatedAt].(string)
	c.LastRotated, _ = doc.Fields[fieldLastRotated].(string)
	c.Policy = defaultPolicy
	if _, found := doc.Fields[fieldPolicy]; found {
		policy, err := ParsePolicy(r.required(fieldPolicy))
		r.check(err)
		c.Policy = policy.WithSpread(defaultPolicy.spread)
	}
	c.KeyVersion = r.keyVersion()
	if raw, found := doc.Fields[fieldPending]; found && raw != nil {
		pending, err := parsePending(raw)
		r.check(err)
		c.Pending = pending
	}
	if len(r.errs) > 0 {
		return c, r.complaints()
	}
	return c, nil
}

// BeingAdded reports whether the record has no current password yet. Then it has
// a pending one, which becomes its first when Mailu is proven to hold it.
func (c Credential) BeingAdded() bool { return c.Password == "" }

// Document is the record to be stored: the fields as they were read, with this
// credential's own put over them.
func (c Credential) Document() Document {
	fields := maps.Clone(c.fields)
	if c.Password != "" {
		fields[fieldPassword] = string(c.Password)
	}
	if c.LastRotated != "" {
		fields[fieldLastRotated] = c.LastRotated
	}
	putKeyVersion(fields, c.KeyVersion)
	delete(fields, fieldPending)
	if c.Pending != nil {
		fields[fieldPending] = c.Pending.fieldsOut()
	}
	return Document{Version: c.Version, Fields: fields}
}

// putKeyVersion leaves out what is not recorded: a version that belonged to
// another password would keep this one from opening.
func putKeyVersion(fields map[string]any, version crypto.KeyVersion) {
	delete(fields, fieldKeyVersion)
	if version != 0 {
		fields[fieldKeyVersion] = json.Number(strconv.Itoa(int(version)))
	}
}

// binding is what the current password is sealed for.
func (c Credential) binding() crypto.Binding {
	return crypto.Binding{TenantID: string(c.Tenant), LastRotated: c.LastRotated}
}

// checkUsername keeps anything out of the API's path that a proxy on the way
// could read as a path, a query or an escape.
func checkUsername(name string) error {
	local, domain, _ := strings.Cut(name, "@")
	improper := func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`@/\?#%"<>;`, r) }
	if local == "" || domain == "" || len(name) > 254 || strings.ContainsFunc(local+domain, improper) {
		return fmt.Errorf("%s %.60q is not an e-mail address that can be used", fieldUsername, name)
	}
	return nil
}

// timestamp parses what a record holds; anything but RFC 3339 is no timestamp.
func timestamp(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, s)
	return t, err == nil
}

// fieldReader collects complaints, so that all of a record's are shown at once.
type fieldReader struct {
	fields map[string]any
	errs   []error
}

func (r *fieldReader) check(err error) {
	if err != nil {
		r.errs = append(r.errs, err)
	}
}

// complaints is all of them on one line, as a table shows them.
func (r *fieldReader) complaints() error { return errors.New(onOneLine(r.errs)) }

func onOneLine(errs []error) string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (r *fieldReader) required(name string) string {
	value, found := r.fields[name]
	s, isString := value.(string)
	switch {
	case !found || (isString && s == ""):
		r.check(fmt.Errorf("%s is missing", name))
	case !isString:
		r.check(fmt.Errorf("%s is not a string", name))
	}
	return s
}

// currentPassword may be missing while the tenant is being added: from a record
// that has a pending one, and from the one that is not written yet.
func (r *fieldReader) currentPassword(version int) crypto.SealedPassword {
	_, found := r.fields[fieldPassword]
	_, pending := r.fields[fieldPending].(map[string]any)
	if !found && (pending || version == 0) {
		return ""
	}
	return crypto.SealedPassword(r.required(fieldPassword))
}

// keyVersion reads a number, or a string of digits as `vault kv put` stores it.
func (r *fieldReader) keyVersion() crypto.KeyVersion {
	value, found := r.fields[fieldKeyVersion]
	if !found || value == nil {
		return 0
	}
	version, err := strconv.Atoi(fmt.Sprint(value))
	if err != nil || version < 1 {
		r.check(fmt.Errorf("%s is not a whole number from 1", fieldKeyVersion))
		return 0
	}
	return crypto.KeyVersion(version)
}
