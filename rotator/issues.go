package rotator

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailu-rotator/crypto"
)

// Check is one result of the doctor. Its texts contain no secret. The tags are those of
// the doctor's JSON report.
type Check struct {
	Name  string     `json:"name"`
	State CheckState `json:"state"`
	Found string     `json:"found,omitempty"` // what was found, for people
	Fix   string     `json:"fix,omitempty"`   // the command or step that fixes it; empty if nothing is wrong
}

// CheckState is how a check ended. The strings are part of the JSON report.
type CheckState string

// The states of a check.
const (
	CheckOK      CheckState = "ok"
	CheckWarned  CheckState = "warning" // it works, but needs attention
	CheckFailed  CheckState = "failed"
	CheckSkipped CheckState = "skipped" // not checked, because an earlier check failed
)

// Passed is a check without problems.
func Passed(name, found string) Check { return Check{Name: name, State: CheckOK, Found: found} }

// Warned is a check of something that works but needs attention.
func Warned(name, found, fix string) Check {
	return Check{Name: name, State: CheckWarned, Found: found, Fix: fix}
}

// Broken is a check of something that must be fixed.
func Broken(name, found, fix string) Check {
	return Check{Name: name, State: CheckFailed, Found: found, Fix: fix}
}

// Skipped returns the checks that an earlier failure made pointless.
func Skipped(because string, names ...string) []Check {
	checks := make([]Check, len(names))
	for i, name := range names {
		checks[i] = Check{Name: name, State: CheckSkipped, Found: "not checked: " + because}
	}
	return checks
}

// Issue is a problem of one tenant's record that needs attention. The tags are those of
// the doctor's JSON report.
type Issue struct {
	Tenant  string    `json:"tenant"`         // as listed
	User    string    `json:"user,omitempty"` // if the record names one
	Kind    IssueKind `json:"kind"`
	Serious bool      `json:"serious"`       // set by the doctor, see [IssueKind.Serious]
	Reason  string    `json:"reason"`        // for people
	Fix     string    `json:"fix,omitempty"` // set by the doctor: the command that fixes it; empty if none is needed

	Version int      `json:"-"` // of the record that was read, or is deleted; 0: none
	Fields  []string `json:"-"` // to correct, as "name" or "pending.name"; may be empty
}

// IssueKind distinguishes issues by their fix. The strings are part of the JSON report.
type IssueKind string

// The kinds of issues.
const (
	IssueUnread       IssueKind = "unread"        // the store did not return the record
	IssueDeleted      IssueKind = "deleted"       // its newest version is deleted
	IssueExpired      IssueKind = "expired"       // its newest version has deleted itself, or is deleted like the one before it
	IssueVanishes     IssueKind = "vanishes"      // it deletes itself before a rotation would rewrite it
	IssueExpires      IssueKind = "expires"       // it deletes itself, but later than that
	IssueShortHistory IssueKind = "short history" // the store keeps too few earlier versions to go back to
	IssueAbsent       IssueKind = "absent"        // remains of an addition, since another tenant has its user
	IssueWithdrawn    IssueKind = "withdrawn"     // remains of an addition, since another tenant has its user
	IssueOverdue      IssueKind = "overdue"       // as old as its policy or older, after a sweep that should have rotated it
	IssueFailed       IssueKind = "failed"        // the daemon's last run could not rotate it
	IssueUnverified   IssueKind = "unverified"    // the daemon's last verification found another password in Mailu, or none
	IssueMalformed    IssueKind = "malformed"     // it cannot be parsed
	IssueUnlisted     IssueKind = "unlisted"      // its origin is not in the configuration
	IssueShared       IssueKind = "shared user"   // another tenant names the same user
	IssueKeyHidden    IssueKind = "key hidden"    // sealed with an older master key version than is available
	IssueKeyUnknown   IssueKind = "key unknown"   // sealed with a master key version that does not exist
	IssueSealedForm   IssueKind = "sealed form"   // a sealed password in a form that no key opens
	IssueHalfFinished IssueKind = "half-finished" // a rotation on which no process is working
	IssueUndated      IssueKind = "undated"       // an implausible timestamp
	IssueForeign      IssueKind = "foreign"       // not a tenant id: never touched
	IssueOneAddress   IssueKind = "one address"   // a tenant on another server has it too: two users, unless the servers are one
)

// Serious reports whether the issue prevents the tenant's rotation, keeps its password
// from opening, or loses the record. The others are for information.
func (k IssueKind) Serious() bool {
	return !slices.Contains([]IssueKind{IssueUnverified, IssueHalfFinished, IssueUndated, IssueForeign, IssueWithdrawn, IssueExpires, IssueShortHistory, IssueOneAddress}, k)
}

// IssuesOf returns all issues of one record. rivals is how many tenants name its user.
// keys may be nil: then key versions are not checked. restorable reports whether the
// version before the deleted one exists.
func IssuesOf(now time.Time, c Candidate, rivals int, keys *crypto.Keyring, restorable func(deleted int) bool) (serious, slight []Issue) {
	version := c.Credential.Version
	deleted, isDeleted := errors.AsType[*DeletedError](c.Err)
	if isDeleted {
		version = deleted.Version
	}
	note := func(kind IssueKind, reason string, fields ...string) {
		f := Issue{Tenant: c.Name, User: c.Credential.Username, Kind: kind, Reason: reason, Version: version, Fields: fields}
		if kind.Serious() {
			serious = append(serious, f)
		} else {
			slight = append(slight, f)
		}
	}
	if kind := unusable(c, deleted, restorable); kind != "" {
		reason := "not a tenant id (a UUID version 4): never touched"
		if c.Err != nil {
			reason = c.Err.Error()
		}
		note(kind, reason, malformedFields(c.Err)...)
		return serious, slight
	}
	if c.Unlisted != nil {
		note(IssueUnlisted, c.Unlisted.Error())
	}
	if rivals > 1 {
		note(IssueShared, DuplicateUser(c, rivals).Error())
	}
	if field, err := c.Credential.sealedForm(); err != nil {
		note(IssueSealedForm, err.Error(), field)
	}
	if c.Credential.vanishes(now) {
		note(IssueVanishes, "the record deletes itself at "+FormatTime(c.Credential.Expires)+" (delete_version_after), before its policy has it written anew: its password is lost then")
	} else if !c.Credential.Expires.IsZero() {
		note(IssueExpires, "the record deletes itself at "+FormatTime(c.Credential.Expires)+" (delete_version_after), unless it is rotated before")
	}
	if version := missingKey(c.Credential, keys); version != 0 {
		kind, newest := IssueKeyHidden, keys.Newest().Version
		if version > newest {
			kind = IssueKeyUnknown
		}
		note(kind, fmt.Sprintf("sealed with version %d of the master key, which is not to be had (the newest is %d): its password does not open", version, newest))
	}
	if p := c.Credential.Pending; p != nil && !p.Claim.Live(now) {
		reason := halfFinishedBy(p.Claim) + ": the next run finishes it"
		if p.Claim.Takeovers >= maxTakeovers {
			reason = fmt.Sprintf("%s, taken over %d times without success: only a run that names the tenant goes on", halfFinishedBy(p.Claim), p.Claim.Takeovers)
		}
		note(IssueHalfFinished, reason)
	}
	if fields, reason := c.Credential.undated(now); reason != "" {
		note(IssueUndated, reason, fields...)
	}
	return serious, slight
}

// unusable is the only issue of a candidate whose record cannot be processed; "" for any
// other candidate.
func unusable(c Candidate, deleted *DeletedError, restorable func(deleted int) bool) IssueKind {
	switch {
	case IsWithdrawn(c.Err):
		return IssueWithdrawn
	case c.Ignored:
		return IssueForeign
	case c.Err == nil:
		return ""
	case deleted != nil && (deleted.Expired || !restorable(deleted.Version)):
		return IssueExpired
	case deleted != nil:
		return IssueDeleted
	case errors.Is(c.Err, ErrAbsent):
		return IssueAbsent
	case errors.Is(c.Err, ErrMalformed):
		return IssueMalformed
	}
	return IssueUnread
}

// missingKey is the key version that a password needs and the keyring lacks, or 0.
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

// undated describes the invalid timestamps of a record and their effect; empty without
// such timestamps. fields are the ones to correct.
func (c Credential) undated(now time.Time) (fields []string, reason string) {
	var problems []string
	for _, field := range []string{fieldLastRotated, fieldCreatedAt} {
		if problem := implausible(c.fields[field], now); problem != "" {
			fields = append(fields, field)
			problems = append(problems, field+" "+problem)
		}
	}
	born, known := c.Born(now)
	switch {
	case !known:
		problems = append(problems, "its age is unknown, so it counts as due")
	case len(problems) > 0:
		problems = append(problems, "its age counts from "+FormatTime(born))
	}
	return fields, strings.Join(problems, "; ")
}

// implausible says why the age of a password cannot be computed from a stored value; empty
// if it can, or if there is no value.
func implausible(stored any, now time.Time) string {
	text, isText := stored.(string)
	at, parses := timestamp(text)
	switch _, usable := pastTime(text, now); {
	case stored == nil || usable:
		return ""
	case !isText:
		return "is not a string but " + describe(stored)
	case !parses:
		return "is not a timestamp of RFC 3339"
	case at.Sub(now) > maxSkew:
		return "is in the future: " + FormatTime(at)
	}
	return fmt.Sprintf("is before the year %d, so it stands for no time: %s", earliestYear, FormatTime(at))
}
