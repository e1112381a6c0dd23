package sweep

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// Selection selects the tenants of a run.
type Selection struct {
	// All selects every tenant whatever its age, unless it was rotated at or after
	// RotatedBefore and sealed with the newest master key. Otherwise the due ones are
	// selected.
	All           bool
	RotatedBefore time.Time
	// PendingOnly selects only half-finished rotations.
	PendingOnly bool
	// Tenants, Names and Origins restrict the run; empty means all.
	Tenants []rotator.TenantID
	// Names are those of tenants whose id only the scan of the fleet tells, see
	// [Selection.Select]. The scan adds the ids to Tenants.
	Names   []string
	Origins []rotator.Origin
	// NewestKey is the master key's newest version at the start of the run.
	NewestKey crypto.KeyVersion
	// Limit is the maximum number of rotations to start; 0 means no limit.
	// Half-finished ones are finished in addition.
	Limit int
	// MayBeNobody lets Verify find no tenant: nobody has named any.
	MayBeNobody bool
}

// minPrefix is how many characters the beginning of an id must have to be a name, so that
// a slip of the fingers selects no tenant.
const minPrefix = 4

// Select adds the tenant that an operator names: by its id, by the address of its user in
// any spelling, or by the first characters of its id, in either case. A run refuses names
// that do not belong to exactly one tenant before anything is written. That an id has a
// record is not required.
func (s *Selection) Select(name string) error {
	tenant, err := rotator.ParseTenantID(name)
	switch {
	case err == nil:
		s.add(tenant)
	case !isAddress(name) && !isPrefix(name):
		return fmt.Errorf("%w, the beginning of one (%d characters or more), or the address of a user", err, minPrefix)
	case !slices.Contains(s.Names, name):
		s.Names = append(s.Names, name)
	}
	return nil
}

func (s *Selection) add(tenant rotator.TenantID) {
	if !s.named(tenant) {
		s.Tenants = append(slices.Clip(s.Tenants), tenant)
	}
}

func isAddress(name string) bool { return strings.Contains(name, "@") }

func isPrefix(name string) bool {
	return len(name) >= minPrefix && len(name) < len(rotator.UUID{}.String()) && strings.Trim(name, "0123456789abcdefABCDEF-") == ""
}

// narrowed reports whether the run is for named tenants only.
func (s Selection) narrowed() bool { return len(s.Tenants)+len(s.Names) > 0 }

// named reports whether the run names this tenant.
func (s Selection) named(t rotator.TenantID) bool { return slices.Contains(s.Tenants, t) }

// covers reports whether the candidate belongs to the run. One whose origin cannot be
// read may belong to any server: the report shows it.
func (s Selection) covers(c rotator.Candidate) bool {
	if s.narrowed() && !s.named(rotator.TenantID(c.Name)) {
		return false
	}
	origin := c.Credential.Origin
	return len(s.Origins) == 0 || origin == "" && !c.Ignored || slices.Contains(s.Origins, origin)
}

// meaning maps the names of a selection to the tenants that have them.
type meaning map[string][]rotator.TenantID

// matchListed notes the names that begin this entry of the list.
func (r *run) matchListed(entry string) {
	for _, name := range r.sel.Names {
		if !isAddress(name) && len(entry) > len(name) && strings.EqualFold(entry[:len(name)], name) {
			if tenant, err := rotator.ParseTenantID(entry); err == nil {
				r.match(name, tenant)
			}
		}
	}
}

// matchUser notes the names that are the address of this record's user.
func (r *run) matchUser(c rotator.Candidate) {
	for _, name := range r.sel.Names {
		if isAddress(name) && rotator.SameAddress(c.Credential.Username, name) {
			r.match(name, c.Credential.Tenant)
		}
	}
}

func (r *run) match(name string, tenant rotator.TenantID) {
	if r.means == nil {
		r.means = meaning{}
	}
	if !slices.Contains(r.means[name], tenant) {
		r.means[name] = append(r.means[name], tenant)
	}
	r.sel.add(tenant)
}

// unambiguous refuses the selection unless each of its addresses, or of its other names,
// belongs to exactly one tenant. unread is how many records were not read.
func (r *run) unambiguous(addresses bool, unread int) error {
	var wrong []string
	for _, name := range r.sel.Names {
		if isAddress(name) != addresses || len(r.means[name]) == 1 {
			continue
		}
		wrong = append(wrong, notOne(name, r.means[name], unread))
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// notOne says why a name is not that of one tenant.
func notOne(name string, found []rotator.TenantID, unread int) string {
	switch {
	case len(found) == 0 && isAddress(name):
		text := fmt.Sprintf("no tenant has the user %.254q", name)
		if unread > 0 {
			text += fmt.Sprintf(", as far as can be read: %d of the records cannot", unread)
		}
		return text
	case len(found) == 0:
		return fmt.Sprintf("no tenant's id begins with %q", name)
	}
	const maxShown = 10
	var ids []string
	for _, tenant := range slices.Sorted(slices.Values(found)) {
		ids = append(ids, string(tenant))
	}
	if len(ids) > maxShown {
		ids = append(ids[:maxShown], "…")
	}
	if isAddress(name) {
		return fmt.Sprintf("%d tenants have the user %.254q, name one by its id: %s", len(found), name, strings.Join(ids, ", "))
	}
	return fmt.Sprintf("the ids of %d tenants begin with %q, name one by more characters: %s", len(found), name, strings.Join(ids, ", "))
}
