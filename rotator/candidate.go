package rotator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
)

// Candidate is one entry under the prefix, as read.
type Candidate struct {
	Name       string     // as listed
	Credential Credential // the valid parts of the record
	API        string     // the API of its requests, as [Mailu].API names it; "": its origin's host
	Err        error      // why it cannot be rotated
	Unlisted   error      // why no token may be sent to its origin; matters only if it needs a rotation
	Ignored    bool       // not a tenant: the name is no tenant id, or the record was withdrawn, as Err says
	Failed     bool       // the last run that processed it failed
}

// ReadCandidate reads the entry with this name.
func ReadCandidate(ctx context.Context, store Store, mailu Mailu, defaultPolicy Policy, name string) Candidate {
	c := Candidate{Name: name}
	tenant, err := ParseTenantID(name)
	if err != nil {
		c.Ignored = true
		return c
	}
	ctx, cancel := context.WithTimeout(ctx, StoreDeadline)
	defer cancel()
	doc, err := store.Read(ctx, tenant)
	if err != nil {
		c.Credential.Tenant, c.Err = tenant, err
		return c
	}
	c.Credential, c.Err = ParseCredential(tenant, doc, defaultPolicy)
	if c.Ignored = IsWithdrawn(c.Err); c.Ignored {
		return c
	}
	_, c.Unlisted = mailu.Server(c.Credential.Origin)
	c.API = mailu.API(c.Credential.Origin)
	return c
}

// Open returns false for a record that cannot be parsed: it may be anything.
func (c Candidate) Open() bool { return c.Err == nil && c.Credential.open() }

// FailedBefore reports whether an earlier run failed, by the cache or the record.
func (c Candidate) FailedBefore() bool {
	pending := c.Credential.Pending
	return c.Failed || pending != nil && pending.Claim.Takeovers > 0
}

// Transient reports whether the record could not be read for a temporary reason.
func (c Candidate) Transient() bool {
	if errors.Is(c.Err, ErrUnavailable) {
		return true // even if it is ErrForbidden: no login is accepted any longer
	}
	return c.Err != nil && !isAny(c.Err, ErrAbsent, ErrMalformed, ErrForbidden)
}

// whyIgnored says why the entry is ignored.
func (c Candidate) whyIgnored() string {
	if c.Err != nil {
		return c.Err.Error()
	}
	return notATenant
}

// Unread reports whether the store did not return the record.
func (c Candidate) Unread() bool { return c.Transient() || errors.Is(c.Err, ErrForbidden) }

// Unusable is the outcome of a candidate whose record cannot be processed; "" for others.
func (c Candidate) Unusable() (Outcome, string) {
	switch {
	case c.Ignored:
		return Ignored, c.whyIgnored()
	case c.Transient():
		return Failed, c.Err.Error()
	case c.Err != nil:
		return Invalid, c.Err.Error()
	}
	return "", ""
}

// Action is what to do with a tenant.
type Action int

// The actions.
const (
	Leave  Action = iota // no change
	Finish               // finish the half-finished rotation
	Rotate
	Add    // it has no current password yet
	Reseal // seal its current password anew
)

// DuplicateUser is the error of a candidate whose user that many tenants name.
func DuplicateUser(c Candidate, rivals int) error {
	where := string(c.Credential.Origin)
	if c.API != "" && c.API != c.Credential.Origin.Host() {
		where += " (its API is at " + c.API + ")"
	}
	return fmt.Errorf("%d tenants name the user %s on %s and would lock each other out: fix or remove all but one", rivals, c.Credential.Username, where)
}

// UserKey identifies a user among all servers, by API and address; "" if there is none.
func UserKey(c Candidate) string {
	address := c.Credential.Address()
	if c.Credential.Origin == "" || address == "" {
		return ""
	}
	return cmp.Or(c.API, c.Credential.Origin.Host()) + " " + string(address)
}
