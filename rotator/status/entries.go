package status

import (
	"iter"
	"maps"
	"slices"
	"time"
	"unique"

	"mailu-rotator/rotator"
)

// entries are the tenants on a [Cache]. A daemon keeps one for each tenant permanently,
// so they are small: about 200 MB for a million tenants. An unusual entry (with a
// fault, a reason, a pending password) is kept whole.
type entries struct {
	small   map[rotator.UUID]smallEntry
	whole   map[string]Entry // by name, as listed
	reading int              // the number of the last scan
}

// smallEntry is an ordinary [Entry]. Its times are Unix time in milliseconds, including
// the zero time.
type smallEntry struct {
	user      string
	common    unique.Handle[commonEntry]
	born, due int64
	at, since int64
	seen      int
}

// commonEntry is the part that many tenants share, stored once.
type commonEntry struct {
	origin  rotator.Origin
	policy  rotator.Policy
	outcome rotator.Outcome
	state   rotator.State
	proof   bool
}

// find returns the entry of the tenant with this name.
func (t *entries) find(name string) (Entry, bool) {
	if e, found := t.whole[name]; found {
		return e, true
	}
	id, ok := rotator.ParseUUID(name)
	s, found := t.small[id]
	if !ok || !found {
		return Entry{}, false
	}
	common := s.common.Value()
	return Entry{
		Status: rotator.Status{
			Tenant: name, User: s.user, Origin: common.origin, Policy: common.policy, Proof: common.proof,
			Born: time.UnixMilli(s.born).UTC(), Due: time.UnixMilli(s.due).UTC(),
		},
		Outcome: common.outcome, At: time.UnixMilli(s.at).UTC(), State: common.state, StateSince: time.UnixMilli(s.since).UTC(),
		seen: s.seen,
	}, true
}

// put adds an entry, or replaces the one of the same name.
func (t *entries) put(e Entry) {
	id, ok := rotator.ParseUUID(e.Tenant)
	if !ok || e.Fault != "" || e.Ignored || e.Pending != nil || e.Reason != "" || !e.Expires.IsZero() {
		t.whole[e.Tenant] = e
		delete(t.small, id)
		return
	}
	t.small[id] = smallEntry{
		user: e.User, common: unique.Make(commonEntry{e.Origin, e.Policy, e.Outcome, e.State, e.Proof}), seen: e.seen,
		born: e.Born.UnixMilli(), due: e.Due.UnixMilli(), at: e.At.UnixMilli(), since: e.StateSince.UnixMilli(),
	}
	delete(t.whole, e.Tenant)
}

// see puts what the scan in progress has seen of an entry.
func (t *entries) see(e Entry, s rotator.Status) {
	e.Status, e.seen = s, t.reading
	t.put(e)
}

// forget removes the tenants that the last scan has not seen.
func (t *entries) forget() {
	maps.DeleteFunc(t.small, func(_ rotator.UUID, s smallEntry) bool { return s.seen != t.reading })
	maps.DeleteFunc(t.whole, func(_ string, e Entry) bool { return e.seen != t.reading })
}

// names returns the names of all tenants, in no order.
func (t *entries) names() iter.Seq[string] {
	ids, others := slices.Collect(maps.Keys(t.small)), slices.Collect(maps.Keys(t.whole))
	return func(yield func(string) bool) {
		for _, id := range ids {
			if !yield(id.String()) {
				return
			}
		}
		for _, name := range others {
			if !yield(name) {
				return
			}
		}
	}
}
