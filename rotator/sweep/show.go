package sweep

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// Record is one tenant's record, for display.
type Record struct {
	Credential rotator.Credential // the valid parts of the record
	Problem    error              // why it cannot be rotated; nil if it can
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
func (s *Sweep) Record(ctx context.Context, tenant rotator.TenantID) (Record, error) {
	r := &run{Sweep: s, clock: s.Clock}
	c := r.candidate(ctx, string(tenant))
	if c.Err != nil && !errors.Is(c.Err, rotator.ErrMalformed) {
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
	rec.ByDefault = cred.ByDefault()
	rec.UnderWay = cred.Pending != nil && cred.Pending.Claim.Live(now)
	return rec, nil
}

// Find returns the only tenant with a user of this address, in any spelling. It reads
// the whole fleet.
func (s *Sweep) Find(ctx context.Context, user string) (rotator.TenantID, error) {
	r := &run{Sweep: s, clock: s.Clock}
	has := func(c rotator.Candidate) bool { return rotator.SameAddress(c.Credential.Username, user) }
	candidates, err := r.scan(ctx, has)
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
		return rotator.TenantID(found[0]), nil
	}
	return "", fmt.Errorf("%d tenants have the user %.254q, name one by its id: %s", len(found), user, strings.Join(found, ", "))
}

// Reveal opens the current password of a record, or its pending one. The caller must
// record that, and wipe the secret.
func (s *Sweep) Reveal(ctx context.Context, c rotator.Credential, pending bool) (crypto.Secret, error) {
	keys, err := s.masterKeys(ctx)
	if err != nil {
		return crypto.Secret{}, err
	}
	defer keys.Wipe()
	return rotator.Reveal(keys, c, pending)
}

// Accepted asks Mailu which of the passwords of a half-finished rotation it holds, see
// [Rotator.Accepted].
func (s *Sweep) Accepted(ctx context.Context, c rotator.Credential) (pending bool, remark string, err error) {
	if c.Pending == nil {
		return false, "", nil
	}
	keys, err := s.masterKeys(ctx)
	if err != nil {
		return false, "", err
	}
	defer keys.Wipe()
	return s.newRotator(s.Clock, keys).Accepted(ctx, c)
}

// Status reads only the records of the selection: it needs no master key, sends Mailu
// nothing and writes nothing. The returned time is that of the run; standings must be
// computed for it.
func (s *Sweep) Status(ctx context.Context, sel Selection) ([]rotator.Status, time.Time, error) {
	clock, err := rotator.GuardClock(ctx, s.Clock, s.Time)
	if err != nil {
		return nil, time.Time{}, err
	}
	r := &run{Sweep: s, clock: clock, sel: sel}
	var all []rotator.Status
	rivals, err := r.scan(ctx, func(c rotator.Candidate) bool {
		all = append(all, rotator.StatusOf(clock.Now(), c, 1))
		return false
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	now := clock.Now()
	shared := map[string]rotator.Status{}
	for _, s := range statuses(now, rivals) {
		shared[s.Tenant] = s
	}
	for i, s := range all {
		if rival, found := shared[s.Tenant]; found {
			all[i] = rival
		}
	}
	return all, now, nil
}

// statuses returns the statuses of a fleet, or of all that may have duplicates in it.
func statuses(now time.Time, candidates []rotator.Candidate) []rotator.Status {
	rivals := duplicateUsers(candidates)
	all := make([]rotator.Status, len(candidates))
	for i, c := range candidates {
		all[i] = rotator.StatusOf(now, c, rivals[rotator.UserKey(c)])
	}
	return all
}
