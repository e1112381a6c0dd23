package rotator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"mailu-rotator/crypto"
)

// Record is one tenant's record, for display.
type Record struct {
	Credential Credential // the valid parts of the record
	Problem    error      // why it cannot be rotated; nil if it can
	Age        time.Duration
	AgeKnown   bool
	Due        time.Time // zero if that is never or unknown
	PolicyEnd  time.Time // the age that its policy allows: at Due, or later by the spread
	Overdue    bool      // as old as its policy or older, or of unknown age
	ByDefault  bool      // the record has no policy of its own
	UnderWay   bool      // a process has a valid claim on the pending password
}

// Record reads one tenant's record. It opens nothing and needs no master key. An error
// means that there is nothing to show.
func (s *Sweep) Record(ctx context.Context, tenant TenantID) (Record, error) {
	r := &run{Sweep: s, clock: s.Clock}
	c := r.candidate(ctx, string(tenant))
	if c.Err != nil && !errors.Is(c.Err, ErrMalformed) {
		return Record{}, fmt.Errorf("tenant %s: %w", tenant, c.Err)
	}
	now, cred := s.Clock.Now(), c.Credential
	rec := Record{Credential: cred, Problem: c.Err}
	if rec.Problem == nil {
		rec.Problem = c.Unlisted
	}
	rec.Age, rec.AgeKnown = cred.Age(now)
	rec.Due, _ = cred.DueAt(now)
	rec.PolicyEnd, _ = cred.PolicyEnd(now)
	rec.Overdue = c.Err == nil && cred.Due(now) && !now.Before(rec.PolicyEnd)
	rec.ByDefault = cred.fields[fieldPolicy] == nil
	rec.UnderWay = cred.Pending != nil && cred.Pending.Claim.live(now)
	return rec, nil
}

// Find returns the only tenant with a user of this address, in any spelling. It reads
// the whole fleet.
func (s *Sweep) Find(ctx context.Context, user string) (TenantID, error) {
	r := &run{Sweep: s, clock: s.Clock}
	has := func(c Candidate) bool { return user != "" && SameAddress(c.Credential.Username, user) }
	candidates, err := r.survey(ctx, has)
	if err != nil {
		return "", err
	}
	var found []string
	for _, c := range candidates {
		if has(c) { // others are included because they share another user
			found = append(found, c.Name)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("no tenant has the user %.254q", user)
	case 1:
		return TenantID(found[0]), nil
	}
	return "", fmt.Errorf("%d tenants have the user %.254q, name one by its id: %s", len(found), user, strings.Join(found, ", "))
}

// WebmailURL is the record's webmail_url as stored; empty if it is not a URL that may
// be shown, such as one with credentials in it.
func (c Credential) WebmailURL() string {
	stored, _ := c.fields[fieldWebmailURL].(string)
	if _, err := ParseOrigin(stored); err != nil {
		return ""
	}
	return stored
}

// OtherFields are the sorted names of the fields that belong to others. Their values
// are never shown: they may be secrets.
func (c Credential) OtherFields() []string {
	names := slices.Sorted(maps.Keys(c.fields))
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(ownFields, name) })
}

// ErrNothingPending: the record has no pending password to reveal.
var ErrNothingPending = errors.New("nothing is pending")

// errNoCurrent: the record has a pending password and no other.
var errNoCurrent = errors.New("it is still being added and has no current password: ask for the pending one")

// Reveal opens the current password of a record, or its pending one. The caller must
// record that, and wipe the secret.
func (s *Sweep) Reveal(ctx context.Context, c Credential, pending bool) (crypto.Secret, error) {
	p := c.current()
	if pending {
		p = c.Pending
	}
	switch {
	case p == nil && pending:
		return crypto.Secret{}, fmt.Errorf("tenant %s: %w", c.Tenant, ErrNothingPending)
	case p == nil:
		return crypto.Secret{}, fmt.Errorf("tenant %s: %w", c.Tenant, errNoCurrent)
	}
	keys, err := s.masterKeys(ctx)
	if err != nil {
		return crypto.Secret{}, err
	}
	defer keys.Wipe()
	password, err := p.unseal(keys, c.Tenant)
	if err != nil {
		return crypto.Secret{}, fmt.Errorf("tenant %s: %w", c.Tenant, err)
	}
	return password, nil
}

// Accepted asks Mailu which of the passwords of a half-finished rotation it holds: the
// pending one, or else the current one. remark describes restrictions of the account
// that the answer showed, or is empty.
func (s *Sweep) Accepted(ctx context.Context, c Credential) (pending bool, remark string, err error) {
	if c.Pending == nil {
		return false, "", nil
	}
	keys, err := s.masterKeys(ctx)
	if err != nil {
		return false, "", err
	}
	defer keys.Wipe()
	server, err := s.Mailu.Server(c.Origin)
	if err != nil {
		return false, "", err
	}
	for _, p := range []*Pending{c.Pending, c.current()} {
		if p == nil {
			continue // it is still being added
		}
		match, err := s.prove(ctx, server, keys, c, p)
		switch {
		case err != nil:
			return false, "", fmt.Errorf("ask Mailu which password it accepts: %w", err)
		case match == Unproven:
			return false, "", fmt.Errorf("which password Mailu accepts cannot be asked: verify is none for %s", c.Origin)
		case match == Match:
			remark = server.Account(c.Username).remark()
			if remark != "" {
				s.Observe.observe(Event{Name: AccountRestricted, Tenant: string(c.Tenant), Origin: c.Origin, Err: errRemark(remark)})
			}
			return p == c.Pending, remark, nil
		}
	}
	return false, "", fmt.Errorf("tenant %s: Mailu accepts neither the current nor the pending password: mailu-rotator verify --repair --tenant %s", c.Tenant, c.Tenant)
}

// prove asks the server whether it holds a sealed password of a record.
func (s *Sweep) prove(ctx context.Context, server Server, keys Envelope, c Credential, p *Pending) (Verification, error) {
	password, err := p.unseal(keys, c.Tenant)
	if err != nil {
		return Unproven, err
	}
	defer password.Wipe()
	ctx, cancel := context.WithTimeout(ctx, s.ClaimTTL)
	defer cancel()
	check, err := server.Verify(ctx, c.Username, password)
	if err != nil {
		return Unproven, err
	}
	return check.result()
}
