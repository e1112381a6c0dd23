package rotator

import (
	"context"
	"errors"
	"fmt"
	"slices"

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

// Examination is the result of checking the records of the whole fleet.
type Examination struct {
	Tenants    int    // tenant ids found
	WellFormed int    // those without a serious flaw
	Flaws      []Flaw // the serious ones first, each in the order of the list
}

// Serious is the number of serious flaws, which come first.
func (e Examination) Serious() int {
	n := 0
	for _, f := range e.Flaws {
		if f.Kind.Serious() {
			n++
		}
	}
	return n
}

// Examine reads every record and reports its flaws. It writes nothing, sends Mailu
// nothing and opens no password, which would cost a key derivation each; it detects a
// missing key version without that. keys may be nil: then key versions are not checked.
// An error means that the records cannot be listed or read.
func (s *Sweep) Examine(ctx context.Context, keys *crypto.Keyring) (Examination, error) {
	r := &run{Sweep: s, clock: s.Clock, keys: keys}
	candidates, err := r.survey(ctx, everything)
	if err != nil {
		return Examination{}, err
	}
	var e Examination
	slight := r.shortHistories(ctx, candidates)
	rivals, twice := sharedUsers(candidates), onTwoServers(candidates)
	for _, c := range candidates {
		serious, others := r.flaws(ctx, c, rivals[userKey(c)])
		if address := c.Credential.Address(); twice[address] && c.Err == nil {
			others = append(others, Flaw{Tenant: c.Name, Kind: FlawOneAddress, Version: c.Credential.Version, Reason: fmt.Sprintf(
				"tenants on different servers have the address %s: if the servers are one Mailu, they would lock each other out, so give its entries one api_url", address)})
		}
		e.Flaws = append(e.Flaws, serious...)
		slight = append(slight, others...)
		if c.Ignored {
			continue
		}
		e.Tenants++
		if len(serious) == 0 {
			e.WellFormed++
		}
	}
	e.Flaws = append(e.Flaws, slight...)
	return e, nil
}

// onTwoServers returns the addresses that tenants on servers with different APIs share.
func onTwoServers(candidates []Candidate) map[Address]bool {
	first, twice := map[Address]string{}, map[Address]bool{}
	for _, c := range candidates {
		if c.Err != nil || c.Ignored {
			continue
		}
		address := c.Credential.Address()
		if api, found := first[address]; found && api != c.API {
			twice[address] = true
		}
		first[address] = c.API
	}
	return twice
}

// flaws returns all flaws of one record.
func (r *run) flaws(ctx context.Context, c Candidate, rivals int) (serious, slight []Flaw) {
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
		note(r.flawOf(ctx, c), c.Err.Error(), malformedFields(c.Err)...)
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
	if now := r.clock.Now(); c.Credential.vanishes(now) {
		note(FlawVanishes, "the record deletes itself at "+formatTime(c.Credential.Expires)+" (delete_version_after), before its policy has it written anew: its password is lost then")
	} else if !c.Credential.Expires.IsZero() {
		note(FlawExpires, "the record deletes itself at "+formatTime(c.Credential.Expires)+" (delete_version_after), unless it is rotated before")
	}
	if version := r.missingKey(c.Credential); version != 0 {
		kind, newest := FlawKeyHidden, r.keys.Newest().Version
		if version > newest {
			kind = FlawKeyUnknown
		}
		note(kind, fmt.Sprintf("sealed with version %d of the master key, which is not to be had (the newest is %d): its password does not open", version, newest))
	}
	if p := c.Credential.Pending; p != nil && !p.Claim.live(r.clock.Now()) {
		note(FlawHalfFinished, halfFinished(p))
	}
	if fields, reason := c.Credential.undated(r.clock.Now()); reason != "" {
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

func (r *run) flawOf(ctx context.Context, c Candidate) FlawKind {
	var deleted *DeletedError
	switch {
	case errors.As(c.Err, &deleted) && (deleted.Expired || !r.repairable(ctx, c.Credential, deleted.Version)):
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

// repairable reports whether the version before the deleted one exists, so that a
// repair can restore it. A record that was undeleted while its delete_version_after is
// still set deletes itself again, at a time that looks like a manual deletion; then its
// earlier versions are gone as well.
func (r *run) repairable(ctx context.Context, c Credential, deleted int) bool {
	if deleted == 1 {
		return false // there is none, and version 0 would be the newest one
	}
	_, err := readVersion(ctx, r.Store, c.Tenant, deleted-1, r.DefaultPolicy)
	return !errors.Is(err, ErrAbsent)
}

// missingKey is the key version that the current or the pending password needs and the
// keyring lacks, or 0.
func (r *run) missingKey(c Credential) crypto.KeyVersion {
	if r.keys == nil {
		return 0
	}
	needed := []crypto.KeyVersion{c.KeyVersion}
	if c.Pending != nil {
		needed = append(needed, c.Pending.KeyVersion)
	}
	for _, version := range needed {
		if version != 0 && !r.keys.Has(version) {
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
