package rotator

import (
	"context"
	"errors"
	"fmt"

	"mailu-rotator/crypto"
)

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
	r := &run{Sweep: s, clock: s.Clock}
	candidates, err := r.survey(ctx, everything)
	if err != nil {
		return Examination{}, err
	}
	var e Examination
	slight := r.shortHistories(ctx, candidates)
	rivals, twice := sharedUsers(candidates), onTwoServers(candidates)
	for _, c := range candidates {
		restorable := func(deleted int) bool { return r.restorable(ctx, c.Credential.Tenant, deleted) }
		serious, others := FlawsOf(r.clock.Now(), c, rivals[userKey(c)], keys, restorable)
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

// restorable reports whether the version before the deleted one exists, so that a
// repair can restore it. A record that was undeleted while its delete_version_after is
// still set deletes itself again, at a time that looks like a manual deletion; then its
// earlier versions are gone as well.
func (r *run) restorable(ctx context.Context, tenant TenantID, deleted int) bool {
	if deleted == 1 {
		return false // there is none, and version 0 would be the newest one
	}
	_, err := readVersion(ctx, r.Store, tenant, deleted-1, r.DefaultPolicy)
	return !errors.Is(err, ErrAbsent)
}
