package rotator

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"mailu-rotator/crypto"
)

// Flaw is a problem of one tenant's record that needs attention.
type Flaw struct {
	Tenant string // as listed
	Kind   FlawKind
	Reason string // for people

	Version int      // of the record that was read, or is deleted; 0: none
	Fields  []string // to correct, as "name" or "pending.name"; may be empty
}

// FlawKind distinguishes flaws by their fix. The strings are part of the JSON report.
type FlawKind string

// The kinds of flaws.
const (
	FlawUnread       FlawKind = "unread"        // the store did not return the record
	FlawDeleted      FlawKind = "deleted"       // its newest version is deleted
	FlawExpired      FlawKind = "expired"       // its newest version has deleted itself, or is deleted like the one before it
	FlawVanishes     FlawKind = "vanishes"      // it deletes itself before a rotation would rewrite it
	FlawExpires      FlawKind = "expires"       // it deletes itself, but later than that
	FlawShortHistory FlawKind = "short history" // the store keeps too few earlier versions to go back to
	FlawAbsent       FlawKind = "absent"        // remains of an addition, since another tenant has its user
	FlawWithdrawn    FlawKind = "withdrawn"     // remains of an addition, since another tenant has its user
	FlawMalformed    FlawKind = "malformed"     // it cannot be parsed
	FlawUnlisted     FlawKind = "unlisted"      // its origin is not in the configuration
	FlawShared       FlawKind = "shared user"   // another tenant names the same user
	FlawKeyHidden    FlawKind = "key hidden"    // sealed with an older master key version than is available
	FlawKeyUnknown   FlawKind = "key unknown"   // sealed with a master key version that does not exist
	FlawSealedForm   FlawKind = "sealed form"   // a sealed password in a form that no key opens
	FlawHalfFinished FlawKind = "half-finished" // a rotation on which no process is working
	FlawUndated      FlawKind = "undated"       // an implausible timestamp
	FlawForeign      FlawKind = "foreign"       // not a tenant id: never touched
	FlawOneAddress   FlawKind = "one address"   // a tenant on another server has it too: two users, unless the servers are one
)

// Serious reports whether the flaw prevents the tenant's rotation, keeps its password
// from opening, or loses the record. The others are for information.
func (k FlawKind) Serious() bool {
	return !slices.Contains([]FlawKind{FlawHalfFinished, FlawUndated, FlawForeign, FlawWithdrawn, FlawExpires, FlawShortHistory, FlawOneAddress}, k)
}

// FlawsOf returns all flaws of one record. rivals is how many tenants name its user.
// keys may be nil: then key versions are not checked. restorable is asked about a
// deleted record: whether the version before the deleted one exists.
func FlawsOf(now time.Time, c Candidate, rivals int, keys *crypto.Keyring, restorable func(deleted int) bool) (serious, slight []Flaw) {
	note := func(kind FlawKind, reason string, fields ...string) {
		f := Flaw{Tenant: c.Name, Kind: kind, Reason: reason, Version: newestVersion(c), Fields: fields}
		if kind.Serious() {
			serious = append(serious, f)
		} else {
			slight = append(slight, f)
		}
	}
	switch {
	case isWithdrawn(c.Err):
		note(FlawWithdrawn, c.Err.Error())
		return serious, slight
	case c.Ignored:
		note(FlawForeign, "not a tenant id (a UUID version 4): never touched")
		return serious, slight
	case c.Err != nil:
		note(flawOf(c, restorable), c.Err.Error(), malformedFields(c.Err)...)
		return serious, slight
	}
	if c.Unlisted != nil {
		note(FlawUnlisted, c.Unlisted.Error())
	}
	if rivals > 1 {
		note(FlawShared, rivalry(c, rivals).Error())
	}
	if field, err := c.Credential.sealedForm(); err != nil {
		note(FlawSealedForm, err.Error(), field)
	}
	if c.Credential.vanishes(now) {
		note(FlawVanishes, "the record deletes itself at "+formatTime(c.Credential.Expires)+" (delete_version_after), before its policy has it written anew: its password is lost then")
	} else if !c.Credential.Expires.IsZero() {
		note(FlawExpires, "the record deletes itself at "+formatTime(c.Credential.Expires)+" (delete_version_after), unless it is rotated before")
	}
	if version := missingKey(c.Credential, keys); version != 0 {
		kind, newest := FlawKeyHidden, keys.Newest().Version
		if version > newest {
			kind = FlawKeyUnknown
		}
		note(kind, fmt.Sprintf("sealed with version %d of the master key, which is not to be had (the newest is %d): its password does not open", version, newest))
	}
	if p := c.Credential.Pending; p != nil && !p.Claim.live(now) {
		note(FlawHalfFinished, halfFinished(p))
	}
	if fields, reason := c.Credential.undated(now); reason != "" {
		note(FlawUndated, reason, fields...)
	}
	return serious, slight
}

// newestVersion is the newest version of a candidate's record, deleted or not.
func newestVersion(c Candidate) int {
	var deleted *DeletedError
	if errors.As(c.Err, &deleted) {
		return deleted.Version
	}
	return c.Credential.Version
}

func flawOf(c Candidate, restorable func(deleted int) bool) FlawKind {
	var deleted *DeletedError
	switch {
	case errors.As(c.Err, &deleted) && (deleted.Expired || !restorable(deleted.Version)):
		return FlawExpired
	case errors.As(c.Err, &deleted):
		return FlawDeleted
	case errors.Is(c.Err, ErrAbsent):
		return FlawAbsent
	case errors.Is(c.Err, ErrMalformed):
		return FlawMalformed
	}
	return FlawUnread
}

// missingKey is the key version that the current or the pending password needs and the
// keyring lacks, or 0.
func missingKey(c Credential, keys *crypto.Keyring) crypto.KeyVersion {
	if keys == nil {
		return 0
	}
	needed := []crypto.KeyVersion{c.KeyVersion}
	if c.Pending != nil {
		needed = append(needed, c.Pending.KeyVersion)
	}
	for _, version := range needed {
		if version != 0 && !keys.Has(version) {
			return version
		}
	}
	return 0
}

// sealedForm reports a malformed current or pending sealed password, and the field to
// correct: "pending.password" if the record has no other password.
func (c Credential) sealedForm() (field string, err error) {
	if p := c.Pending; p != nil && p.Password.CheckForm() != nil {
		field = fieldPending
		if c.BeingAdded() {
			field += "." + fieldPassword
		}
		return field, fmt.Errorf("password of %s: %w: the rotation cannot be finished", fieldPending, p.Password.CheckForm())
	}
	if err := c.Password.CheckForm(); err != nil && !c.BeingAdded() {
		return fieldPassword, fmt.Errorf("%s: %w: nobody can read it, and a rotation replaces it", fieldPassword, err)
	}
	return "", nil
}

func halfFinished(p *Pending) string {
	if p.Claim.Takeovers >= maxTakeovers {
		return fmt.Sprintf("half-finished rotation by %s, taken over %d times without success: only a run that names the tenant goes on", p.Claim.Owner, p.Claim.Takeovers)
	}
	return fmt.Sprintf("half-finished rotation by %s: the next run finishes it", p.Claim.Owner)
}
