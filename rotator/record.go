package rotator

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailu-rotator/crypto"
)

// Names of the record's fields, as stored (docs/record.md).
const (
	FieldUsername    = "username"
	fieldPassword    = "password"
	fieldWebmailURL  = "webmail_url"
	fieldCreatedAt   = "created_at"
	fieldLastRotated = "last_rotated"
	FieldPolicy      = "rotation_policy"
	fieldKeyVersion  = "key_version"
	fieldPending     = "pending"
	fieldProof       = "proof"
)

// ownFields are the fields of a record that this program reads and writes.
var ownFields = []string{
	FieldUsername, fieldPassword, fieldWebmailURL, fieldCreatedAt,
	fieldLastRotated, FieldPolicy, fieldKeyVersion, fieldPending, fieldProof,
}

// Credential is one tenant's parsed record. The fields of others stay as they are.
type Credential struct {
	Tenant      TenantID
	Version     int       // of the record it was read from or written as
	Written     time.Time // when the record that was read was stored; zero if unknown
	Expires     time.Time // when the store deletes the record itself; zero: never
	Username    string
	Origin      Origin
	Password    crypto.SealedPassword `json:"-"` // "" while the tenant is being added
	CreatedAt   string                // as stored; may be missing or not a timestamp
	LastRotated string                // as stored; part of the key derivation
	Policy      Policy
	KeyVersion  crypto.KeyVersion // 0: not recorded
	Pending     *Pending          // nil at rest
	// Proof recognizes the password and the hash that Mailu was proven to hold for it,
	// see [Credential.proof]; "": none is stored, or the password was written without one.
	Proof string

	life   time.Duration // lifetime of a version, if the record expires
	fields map[string]any
}

// ParseCredential reads a record. The default policy is that of a record without one; its
// spread holds for any. [ErrMalformed] has all complaints, and the Credential beside it
// what could be read, for reports. A record that was withdrawn is an [ErrAbsent].
func ParseCredential(tenant TenantID, doc Document, defaultPolicy Policy) (Credential, error) {
	if withdrawn := withdrawal(doc.Fields); withdrawn != nil {
		return Credential{Tenant: tenant, Version: doc.Version, Written: doc.Written, Expires: doc.Expires, fields: doc.Fields}, withdrawn
	}
	c, err := parseFields(tenant, doc, defaultPolicy)
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return c, nil
}

func parseFields(tenant TenantID, doc Document, defaultPolicy Policy) (Credential, error) {
	c := Credential{Tenant: tenant, Version: doc.Version, Written: doc.Written, Expires: doc.Expires, fields: doc.Fields}
	if !doc.Expires.IsZero() && !doc.Written.IsZero() {
		c.life = doc.Expires.Sub(doc.Written)
	}
	r := fieldReader{fields: doc.Fields}
	if c.Username = r.required(FieldUsername); c.Username != "" {
		if _, err := ParseAddress(c.Username); err != nil {
			r.check(FieldUsername, fmt.Errorf("%s %w", FieldUsername, err))
		}
	}
	// The password may be missing while the tenant is being added: from a record that has a
	// pending one, and from the one that is not written yet.
	pending, _ := doc.Fields[fieldPending].(map[string]any)
	if doc.Fields[fieldPassword] != nil || len(pending) == 0 && doc.Version != 0 {
		c.Password = crypto.SealedPassword(r.required(fieldPassword))
	}
	if webmail := r.required(fieldWebmailURL); webmail != "" {
		var err error
		if c.Origin, err = ParseOrigin(webmail); err != nil {
			r.check(fieldWebmailURL, fmt.Errorf("%s: %w", fieldWebmailURL, err))
		}
	}
	// An invalid timestamp does not make the record malformed: the age uses another one.
	c.CreatedAt, _ = doc.Fields[fieldCreatedAt].(string)
	c.LastRotated, _ = doc.Fields[fieldLastRotated].(string)
	c.Policy = r.policy(defaultPolicy)
	c.KeyVersion = r.keyVersion()
	c.Pending = r.pending()
	c.Proof, _ = doc.Fields[fieldProof].(string)
	return c, r.err()
}

// Address is the user's address in normalized form; a malformed one is the text itself.
func (c Credential) Address() Address {
	address, err := ParseAddress(c.Username)
	if err != nil {
		return Address(strings.ToLower(c.Username))
	}
	return address
}

// HasPending reports whether the record has a pending password, even a malformed one.
func (c Credential) HasPending() bool { return c.fields[fieldPending] != nil }

// BeingAdded reports whether the record has no current password yet. It then has a
// pending one, which becomes the first current one when Mailu is proven to hold it.
func (c Credential) BeingAdded() bool { return c.Password == "" }

// Document returns the record to store: its fields as read, with this credential's own.
func (c Credential) Document() Document {
	fields := maps.Clone(c.fields)
	if c.Password != "" {
		fields[fieldPassword] = string(c.Password)
	}
	switch stored, _ := fields[fieldLastRotated].(string); {
	case c.LastRotated != "":
		fields[fieldLastRotated] = c.LastRotated
	case stored != "": // it belonged to another password, and would keep this one from opening
		delete(fields, fieldLastRotated)
	}
	putKeyVersion(fields, c.KeyVersion)
	delete(fields, fieldPending)
	if c.Pending != nil {
		fields[fieldPending] = c.Pending.fieldsOut()
	}
	delete(fields, fieldProof)
	if c.Proof != "" {
		fields[fieldProof] = c.Proof
	}
	return Document{Version: c.Version, Fields: fields}
}

// putKeyVersion removes the field if no version is recorded: a version that belonged to
// another password would keep this one from opening.
func putKeyVersion(fields map[string]any, version crypto.KeyVersion) {
	delete(fields, fieldKeyVersion)
	if version != 0 {
		fields[fieldKeyVersion] = json.Number(strconv.Itoa(int(version)))
	}
}

// WebmailURL is as stored; empty if it may not be shown: it may have credentials in it.
func (c Credential) WebmailURL() string {
	stored, _ := c.fields[fieldWebmailURL].(string)
	if _, err := ParseOrigin(stored); err != nil {
		return ""
	}
	return stored
}

// OtherFields are the sorted names of the fields of others, whose values may be secrets.
func (c Credential) OtherFields() []string {
	names := slices.Sorted(maps.Keys(c.fields))
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(ownFields, name) })
}

// ByDefault reports whether the record has no policy of its own.
func (c Credential) ByDefault() bool { return c.fields[FieldPolicy] == nil }

// binding is what the current password is sealed for.
func (c Credential) binding() crypto.Binding {
	return crypto.Binding{TenantID: string(c.Tenant), LastRotated: c.LastRotated}
}

// timestamp parses RFC 3339, with t and z also in lower case, which Go's parser refuses.
func timestamp(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, strings.ToUpper(s))
	return t, err == nil
}

// earliestYear is the first year in which a record can have been created. Earlier times
// are what programs write for "never", or machines whose clock is not set: the year 1 (Go),
// 1900, 1970, 1980. Their age could also exceed the 292 years of a [time.Duration]. The
// limit is not later because the bubbles of testing/synctest begin in the year 2000.
const earliestYear = 1990

// pastTime parses the time at which a password or a record was created. It returns false
// for a missing or impossible one: before earliestYear, or more than maxSkew ahead of now.
func pastTime(s string, now time.Time) (time.Time, bool) {
	t, ok := timestamp(s)
	if !ok || t.UTC().Year() < earliestYear || t.Sub(now) > maxSkew {
		return time.Time{}, false
	}
	return t, true
}

// fieldReader collects complaints, so that all of a record's errors are shown together. A
// null field counts as absent: programs write that for a value that is not set.
type fieldReader struct {
	fields map[string]any
	fieldsError
}

func (r *fieldReader) check(field string, err error) {
	if err != nil {
		r.names = append(r.names, field)
		r.complaints = append(r.complaints, err)
	}
}

// err returns all complaints, or nil.
func (r *fieldReader) err() error {
	if len(r.complaints) == 0 {
		return nil
	}
	return &r.fieldsError
}

// fieldsError lists the errors in a record's fields, on one line, as a table shows it.
type fieldsError struct {
	names      []string // of the fields with complaints
	complaints []error
}

func (e *fieldsError) Error() string {
	texts := make([]string, len(e.complaints))
	for i, complaint := range e.complaints {
		texts[i] = complaint.Error()
	}
	return strings.Join(texts, "; ")
}

// RenameFields renames the fields that an error of [ParseCredential] names, for people
// who know them under other names.
func RenameFields(err error, names map[string]string) error {
	malformed, is := errors.AsType[*fieldsError](err)
	if !is {
		return err
	}
	renamed := &fieldsError{names: malformed.names}
	for _, complaint := range malformed.complaints {
		field, rest, _ := strings.Cut(complaint.Error(), " ")
		renamed.complaints = append(renamed.complaints, errors.New(cmp.Or(names[field], field)+" "+rest))
	}
	return renamed
}

// malformedFields returns the fields that an error of [ParseCredential] concerns.
func malformedFields(err error) []string {
	if malformed, is := errors.AsType[*fieldsError](err); is {
		return malformed.names
	}
	return nil
}

func (r *fieldReader) required(name string) string {
	value := r.fields[name]
	s, isString := value.(string)
	switch {
	case value == nil || (isString && s == ""):
		r.check(name, fmt.Errorf("%s is missing", name))
	case !isString && name == fieldPassword: // the value may be a secret
		r.check(name, fmt.Errorf("%s is not a string", name))
	case !isString:
		r.check(name, fmt.Errorf("%s is not a string but %s", name, describe(value)))
	}
	return s
}

// policy returns the record's policy, or the default one.
func (r *fieldReader) policy(byDefault Policy) Policy {
	value := r.fields[FieldPolicy]
	if value == nil {
		return byDefault
	}
	text, isString := value.(string)
	if !isString {
		r.check(FieldPolicy, fmt.Errorf("%s is not a string but %s: \"<n>_days\" or \"manual\"", FieldPolicy, describe(value)))
		return Policy{}
	}
	policy, err := ParsePolicy(text)
	r.check(FieldPolicy, err)
	return policy.WithSpread(byDefault.spread)
}

// pending complains about single fields of a pending that has a password, which Mailu
// may hold; without a password it rejects pending as a whole.
func (r *fieldReader) pending() *Pending {
	if r.fields[fieldPending] == nil {
		return nil
	}
	pending, err := parsePending(r.fields[fieldPending])
	wrong := malformedFields(err)
	if len(wrong) == 0 || slices.Contains(wrong, fieldPassword) {
		r.check(fieldPending, err)
		return pending
	}
	r.complaints = append(r.complaints, err)
	for _, name := range wrong {
		r.names = append(r.names, fieldPending+"."+name)
	}
	return pending
}

// keyVersion reads a number, or a string of digits as `vault kv put` stores it.
func (r *fieldReader) keyVersion() crypto.KeyVersion {
	return crypto.KeyVersion(r.wholeNumber(fieldKeyVersion, 1))
}

// wholeNumber returns 0 if the field is absent or invalid. It also reads 2.0, which some
// JSON libraries write for 2.
func (r *fieldReader) wholeNumber(name string, least int) int {
	value := r.fields[name]
	if value == nil {
		return 0
	}
	text := fmt.Sprint(value)
	n, err := strconv.Atoi(text)
	if _, isString := value.(string); err != nil && !isString {
		var f float64
		if f, err = strconv.ParseFloat(text, 64); f != math.Trunc(f) || math.Abs(f) > math.MaxInt32 {
			err = strconv.ErrSyntax
		}
		n = int(f)
	}
	if err != nil || n < least {
		r.check(name, fmt.Errorf("%s is not a whole number from %d but %s", name, least, describe(value)))
		return 0
	}
	return n
}

// describe shows only the beginning of long texts, and nothing of what is in lists and
// objects, which may contain anything.
func describe(value any) string {
	switch v := value.(type) {
	case string:
		return fmt.Sprintf("%.40q", v)
	case bool:
		return strconv.FormatBool(v)
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("the number %.40s", fmt.Sprint(value))
}
