package status

import (
	"maps"
	"slices"
	"time"

	"mailu-rotator/rotator"
)

// entries are the tenants on a [Cache]. A daemon keeps one for each tenant permanently,
// so they are small: about 200 MB for a million tenants. An unusual entry (with a
// fault, a reason, a pending password) is kept whole.
type entries struct {
	small   map[rotator.UUID]smallEntry
	whole   map[string]wholeEntry // by name, as listed
	common  map[commonEntry]*commonEntry
	reading int // the number of the last scan
}

// smallEntry is an ordinary [Entry]. Its times are Unix time in milliseconds, including
// the zero time.
type smallEntry struct {
	user      string
	common    *commonEntry
	born, due int64
	at, since int64
	seen      int // the last scan that has seen it
}

// commonEntry is the part that many tenants share, stored once.
type commonEntry struct {
	origin  rotator.Origin
	policy  rotator.Policy
	outcome rotator.Outcome
	state   rotator.State
}

type wholeEntry struct {
	Entry
	seen int
}

func newEntries() *entries {
	return &entries{small: map[rotator.UUID]smallEntry{}, whole: map[string]wholeEntry{}, common: map[commonEntry]*commonEntry{}}
}

// find returns the entry of the tenant with this name, and the last scan that has seen
// it.
func (t *entries) find(name string) (e Entry, seen int, found bool) {
	if w, found := t.whole[name]; found {
		return w.Entry, w.seen, true
	}
	id, ok := rotator.ParseUUID(name)
	if !ok {
		return Entry{}, 0, false
	}
	s, found := t.small[id]
	if !found {
		return Entry{}, 0, false
	}
	return Entry{
		Status: rotator.Status{
			Tenant: name, User: s.user, Origin: s.common.origin, Policy: s.common.policy,
			Born: time.UnixMilli(s.born).UTC(), Due: time.UnixMilli(s.due).UTC(),
		},
		Outcome: s.common.outcome, At: time.UnixMilli(s.at).UTC(), State: s.common.state, StateSince: time.UnixMilli(s.since).UTC(),
	}, s.seen, true
}

// put adds an entry, or replaces the one of the same name.
func (t *entries) put(e Entry, seen int) {
	id, ok := rotator.ParseUUID(e.Tenant)
	if !ok || e.Fault != "" || e.Ignored || e.Pending != nil || e.Reason != "" || !e.Expires.IsZero() {
		t.whole[e.Tenant] = wholeEntry{e, seen}
		delete(t.small, id)
		return
	}
	common := commonEntry{e.Origin, e.Policy, e.Outcome, e.State}
	if t.common[common] == nil {
		t.common[common] = &common
	}
	t.small[id] = smallEntry{
		user: e.User, common: t.common[common], seen: seen,
		born: e.Born.UnixMilli(), due: e.Due.UnixMilli(), at: e.At.UnixMilli(), since: e.StateSince.UnixMilli(),
	}
	delete(t.whole, e.Tenant)
}

// forget removes the tenants that the last scan has not seen.
func (t *entries) forget() {
	maps.DeleteFunc(t.small, func(_ rotator.UUID, s smallEntry) bool { return s.seen != t.reading })
	maps.DeleteFunc(t.whole, func(_ string, w wholeEntry) bool { return w.seen != t.reading })
}

// names returns the names of all tenants, in no order: those of the small entries as
// ids.
func (t *entries) names() (ids []rotator.UUID, others []string) {
	return slices.Collect(maps.Keys(t.small)), slices.Collect(maps.Keys(t.whole))
}
