package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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

// Record reads the record of the tenant with a name, see [Selection.Select]; for an
// address it reads the whole fleet. It opens nothing and needs no master key. An error
// means that there is nothing to show.
func (s *Sweep) Record(ctx context.Context, name string) (Record, error) {
	r := &run{Sweep: s, clock: s.Clock}
	tenant, err := r.named(ctx, name)
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

// named returns the tenant with a name; the run must have no selection yet.
func (r *run) named(ctx context.Context, name string) (rotator.TenantID, error) {
	err := r.sel.Select(name)
	switch {
	case err != nil: // it is no name
	case isAddress(name):
		_, err = r.scan(ctx, func(rotator.Candidate) bool { return false })
	case len(r.sel.Names) > 0:
		err = r.list(ctx, func(string) {})
	}
	if err != nil {
		return "", err
	}
	return r.sel.Tenants[0], nil
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
		if pending, remark, err = s.newRotator(s.Clock, keys, newProcessor(s.Cores)).Accepted(ctx, c); err != nil {
			return crypto.Secret{}, false, "", err
		}
	}
	password, err = rotator.Reveal(keys, c, pending)
	return password, pending, remark, err
}

// Status reads only the records of the selection: it needs no master key, sends Mailu
// nothing and writes nothing. The returned time is that of the run; states must be
// computed for it. Without tenants the error is [rotator.ErrNoTenants], as of every scan.
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

// Examination is the result of checking the records of the whole fleet.
type Examination struct {
	Tenants    int             `json:"tenants"`     // tenant ids found
	WellFormed int             `json:"well_formed"` // those without a serious issue
	Issues     []rotator.Issue `json:"flaws"`       // the serious ones first, each in the order of the list

	Statuses []rotator.Status `json:"-"` // of all that were listed
}

// Serious is the number of serious issues, which come first.
func (e Examination) Serious() int {
	return count(e.Issues, func(i rotator.Issue) bool { return i.Kind.Serious() })
}

// Examine reads every record and reports its issues. It writes nothing, sends Mailu
// nothing and opens no password, which would cost a key derivation each; it detects a
// missing key version without that. keys may be nil: then key versions are not checked.
// An error means that the records cannot be listed or read.
func (s *Sweep) Examine(ctx context.Context, keys *crypto.Keyring) (Examination, error) {
	r := &run{Sweep: s, clock: s.Clock}
	candidates, err := r.scan(ctx, everything)
	if err != nil {
		return Examination{}, err
	}
	var e Examination
	slight := r.shortHistories(ctx, candidates)
	rivals, twice := duplicateUsers(candidates), onTwoServers(candidates)
	e.Statuses = statuses(r.clock.Now(), candidates)
	for _, c := range candidates {
		restorable := func(deleted int) bool { return r.restorable(ctx, c.Credential.Tenant, deleted) }
		serious, others := rotator.IssuesOf(r.clock.Now(), c, rivals[rotator.UserKey(c)], keys, restorable)
		if address := c.Credential.Address(); twice[address] && c.Err == nil {
			others = append(others, rotator.Issue{Tenant: c.Name, User: c.Credential.Username, Kind: rotator.IssueOneAddress, Version: c.Credential.Version, Reason: fmt.Sprintf(
				"tenants on different servers have the address %s: if the servers are one Mailu, they would lock each other out, so give its entries one api_url", address)})
		}
		e.Issues = append(e.Issues, serious...)
		slight = append(slight, others...)
		if c.Ignored {
			continue
		}
		e.Tenants++
		if len(serious) == 0 {
			e.WellFormed++
		}
	}
	e.Issues = append(e.Issues, slight...)
	return e, nil
}

// onTwoServers returns the addresses that tenants on servers with different APIs share.
func onTwoServers(candidates []rotator.Candidate) map[rotator.Address]bool {
	first, twice := map[rotator.Address]string{}, map[rotator.Address]bool{}
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

// restorable reports whether the version before the deleted one exists, so that a
// repair can restore it. A record that was undeleted while its delete_version_after is
// still set deletes itself again, at a time that looks like a manual deletion; then its
// earlier versions are gone as well.
func (r *run) restorable(ctx context.Context, tenant rotator.TenantID, deleted int) bool {
	if deleted == 1 {
		return false // there is none, and version 0 would be the newest one
	}
	_, err := rotator.ReadVersion(ctx, r.Store, tenant, deleted-1, r.DefaultPolicy)
	return !errors.Is(err, rotator.ErrAbsent)
}

const (
	// usefulHistory is how many versions the store must keep so that a repair or a
	// rollback finds a former password after a rotation: its two writes, and the
	// version before.
	usefulHistory = 3
	// maxProbed limits the number of records whose earlier versions are requested.
	maxProbed = 1000
)

// shortHistories requests, for up to maxProbed records, the earlier versions that a
// useful history must have. This program's policy cannot read max_versions, but it can
// see which versions were dropped.
func (r *run) shortHistories(ctx context.Context, candidates []rotator.Candidate) (issues []rotator.Issue) {
	var probed []rotator.Candidate
	for _, c := range candidates {
		if !c.Ignored && c.Err == nil && c.Credential.Version >= usefulHistory && len(probed) < maxProbed {
			probed = append(probed, c)
		}
	}
	kept := make([]int, len(probed))
	parallel(r.Workers, len(probed), func(i int) { kept[i] = r.kept(ctx, probed[i].Credential) })
	for i, c := range probed {
		if kept[i] > 0 {
			issues = append(issues, rotator.Issue{Tenant: c.Name, User: c.Credential.Username, Kind: rotator.IssueShortHistory, Version: c.Credential.Version, Reason: shortHistory(kept[i])})
		}
	}
	return issues
}

// kept is how many versions the store keeps of a record; 0 if they are enough. A
// deleted or destroyed version counts as kept: that was a deliberate act.
func (r *run) kept(ctx context.Context, c rotator.Credential) int {
	for back := 1; back < usefulHistory; back++ {
		_, err := rotator.ReadVersion(ctx, r.Store, c.Tenant, c.Version-back, r.DefaultPolicy)
		if _, deleted := errors.AsType[*rotator.DeletedError](err); errors.Is(err, rotator.ErrAbsent) && !deleted {
			return back
		}
	}
	return 0
}

func shortHistory(kept int) string {
	if kept == 1 {
		return "Vault keeps 1 version of the record (max_versions): verify --repair cannot find a former password, and rollback has none to bring back"
	}
	return fmt.Sprintf("Vault keeps %d versions of the record (max_versions): verify --repair and rollback find the former password only until the next write after a rotation", kept)
}
