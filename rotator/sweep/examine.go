package sweep

import (
	"context"
	"errors"
	"fmt"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// Examination is the result of checking the records of the whole fleet.
type Examination struct {
	Tenants    int             `json:"tenants"`     // tenant ids found
	WellFormed int             `json:"well_formed"` // those without a serious issue
	Issues     []rotator.Issue `json:"-"`           // the serious ones first, each in the order of the list
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
	for _, c := range candidates {
		restorable := func(deleted int) bool { return r.restorable(ctx, c.Credential.Tenant, deleted) }
		serious, others := rotator.IssuesOf(r.clock.Now(), c, rivals[rotator.UserKey(c)], keys, restorable)
		if address := c.Credential.Address(); twice[address] && c.Err == nil {
			others = append(others, rotator.Issue{Tenant: c.Name, Kind: rotator.IssueOneAddress, Version: c.Credential.Version, Reason: fmt.Sprintf(
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
			issues = append(issues, rotator.Issue{Tenant: c.Name, Kind: rotator.IssueShortHistory, Version: c.Credential.Version, Reason: shortHistory(kept[i])})
		}
	}
	return issues
}

// kept is how many versions the store keeps of a record; 0 if they are enough. A
// deleted or destroyed version counts as kept: that was a deliberate act.
func (r *run) kept(ctx context.Context, c rotator.Credential) int {
	for back := 1; back < usefulHistory; back++ {
		_, err := rotator.ReadVersion(ctx, r.Store, c.Tenant, c.Version-back, r.DefaultPolicy)
		var deleted *rotator.DeletedError
		if errors.Is(err, rotator.ErrAbsent) && !errors.As(err, &deleted) {
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
