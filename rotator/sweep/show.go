package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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

// Record reads the record of a tenant: the one with this id, or the only one with a user
// of this address in any spelling, for which it reads the whole fleet. It opens nothing
// and needs no master key. An error means that there is nothing to show.
func (s *Sweep) Record(ctx context.Context, name string) (Record, error) {
	r := &run{Sweep: s, clock: s.Clock}
	tenant, err := rotator.ParseTenantID(name)
	if strings.Contains(name, "@") {
		tenant, err = r.ownerOf(ctx, name)
	}
	if err != nil {
		return Record{}, err
	}
	c := r.candidate(ctx, string(tenant))
	if c.Err != nil && !errors.Is(c.Err, rotator.ErrMalformed) {
		return Record{}, fmt.Errorf("tenant %s: %w", tenant, c.Err)
	}
	now, cred := s.Clock.Now(), c.Credential
	rec := Record{Credential: cred, Problem: cmp.Or(c.Err, c.Unlisted), ByDefault: cred.ByDefault()}
	rec.Age, rec.AgeKnown = cred.Age(now)
	rec.Due, _ = cred.DueAt(now)
	rec.PolicyEnd, _ = cred.PolicyEnd(now)
	rec.Overdue = c.Err == nil && cred.Due(now) && !now.Before(rec.PolicyEnd)
	rec.UnderWay = cred.Pending != nil && cred.Pending.Claim.Live(now)
	return rec, nil
}

func (r *run) ownerOf(ctx context.Context, user string) (rotator.TenantID, error) {
	var found []string
	keep := func(c rotator.Candidate) bool {
		if rotator.SameAddress(c.Credential.Username, user) {
			found = append(found, c.Name)
		}
		return false
	}
	_, err := r.scan(ctx, keep)
	switch {
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", fmt.Errorf("no tenant has the user %.254q", user)
	case len(found) > 1:
		slices.Sort(found)
		return "", fmt.Errorf("%d tenants have the user %.254q, name one by its id: %s", len(found), user, strings.Join(found, ", "))
	}
	return rotator.TenantID(found[0]), nil
}

// Reveal opens the current password of a record, or its pending one, or, with accepted,
// whichever of the two Mailu holds, see [rotator.Rotator.Accepted]. It returns which one
// that is. The caller must record that, and wipe the secret.
func (s *Sweep) Reveal(ctx context.Context, c rotator.Credential, pending, accepted bool) (password crypto.Secret, isPending bool, remark string, err error) {
	keys, err := s.masterKeys(ctx)
	if err != nil {
		return crypto.Secret{}, false, "", err
	}
	defer keys.Wipe()
	if accepted && c.Pending != nil {
		if pending, remark, err = s.newRotator(s.Clock, keys).Accepted(ctx, c); err != nil {
			return crypto.Secret{}, false, "", err
		}
	}
	password, err = rotator.Reveal(keys, c, pending)
	return password, pending, remark, err
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
