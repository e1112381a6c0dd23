package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

// When the store has failed, and the records are not a few bad entries:
const (
	maxUnread       = 3  // cannot be read, and none can
	maxUnreadInARow = 50 // cannot be read, after the store's own retries
)

// errNobody: a run that selects no tenant is a mistake and not a success.
var errNobody = errors.New("no tenant matches the selection: mailu-rotator status lists the tenants")

// fleetScan is one scan of the whole fleet. A run that is restricted to some tenants reads
// the others too: one of them may have the same user. Of tenants that are not kept, it
// stores only the name and a hash of the user.
type fleetScan struct {
	*run
	keep  func(rotator.Candidate) bool
	names names
	cache *status.Cache // nil: the scan is not for it

	mu      sync.Mutex                // guards the fields below, run.users, run.means and run.sel
	kept    map[int]rotator.Candidate // by their places in the list
	covered int                       // by the selection
	reads   int                       // successful reads
	unread  int                       // consecutive failed reads
	lost    int                       // failed reads
	failure error                     // of the last failed read
}

// names are the names of a fleet, in the order of the list: 16 bytes for a tenant's.
// As strings those of a million tenants would take 50 MB more.
type names struct {
	ids    []rotator.UUID
	others map[int]string // by place: names that are not the usual spelling of an id
}

func (n *names) add(name string) {
	id, ok := rotator.ParseUUID(name)
	if !ok {
		if n.others == nil {
			n.others = map[int]string{}
		}
		n.others[len(n.ids)] = name
	}
	n.ids = append(n.ids, id)
}

func (n *names) at(place int) string {
	if name, found := n.others[place]; found {
		return name
	}
	return n.ids[place].String()
}

// everything keeps all candidates.
func everything(rotator.Candidate) bool { return true }

// scan lists the tenants, reads all of them, and returns those of the selection that
// keep accepts, in the order of the list. It calls keep for one tenant at a time.
// Tenants that share a user are always returned, whatever keep and the selection say. A
// list that breaks off ends the scan: half a fleet shows neither which users are
// shared nor which tenant is the oldest. A record that the store does not return is a
// candidate with an error, and the others continue: only a failed store ends the
// scan. It sets r.users.
func (r *run) scan(ctx context.Context, keep func(rotator.Candidate) bool) ([]rotator.Candidate, error) {
	s := &fleetScan{run: r, keep: keep, kept: map[int]rotator.Candidate{}}
	if err := r.list(ctx, s.names.add); err != nil {
		return nil, err
	}
	r.users = newDuplicates(len(s.names.ids))
	if r.Cache != nil && !r.sel.narrowed() {
		s.cache = r.Cache
		s.cache.BeginScan()
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(max(r.Workers, 1))
	for place := range s.names.ids {
		if groupCtx.Err() != nil {
			break
		}
		group.Go(func() error { return s.read(groupCtx, place) })
	}
	if err := cmp.Or(group.Wait(), ctx.Err()); err != nil {
		return nil, err
	}
	if s.reads == 0 && (s.unread >= maxUnread || errors.Is(s.failure, rotator.ErrUnavailable)) {
		return nil, unreadRecords(s.failure)
	}
	if err := r.unambiguous(true, s.lost); err != nil {
		return nil, err
	}
	if err := s.settleRivals(ctx); err != nil {
		return nil, err
	}
	if s.covered == 0 {
		return nil, errNobody
	}
	candidates := make([]rotator.Candidate, 0, len(s.kept))
	for _, place := range slices.Sorted(maps.Keys(s.kept)) {
		candidates = append(candidates, s.kept[place])
	}
	return candidates, nil
}

// list adds the names of the fleet, and those of requested tenants that are not in it:
// reading them shows why. It refuses the beginning of an id that is not that of one
// tenant.
func (r *run) list(ctx context.Context, add func(string)) error {
	missing := slices.Clone(r.sel.Tenants)
	seen := func(name string) {
		add(name)
		r.matchListed(name)
		missing = slices.DeleteFunc(missing, func(t rotator.TenantID) bool { return string(t) == name })
	}
	if r.alone {
		missing = r.sel.Tenants
	} else if err := r.listFleet(ctx, seen); err != nil && (len(missing) == 0 || !errors.Is(err, rotator.ErrNoTenants)) {
		return err
	}
	for _, tenant := range missing {
		add(string(tenant))
	}
	return r.unambiguous(false, 0)
}

func (r *run) listFleet(ctx context.Context, add func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, rotator.StoreDeadline)
	defer cancel()
	none := true
	for name, err := range r.Store.List(ctx) {
		if err != nil {
			return fmt.Errorf("list tenants: %w", err)
		}
		none = false
		add(name)
	}
	if none {
		return fmt.Errorf("list tenants: %w: an empty prefix is never taken for a fleet without tenants", rotator.ErrNoTenants)
	}
	return nil
}

// read reads the record at a place of the list.
func (s *fleetScan) read(ctx context.Context, place int) error {
	s.mu.Lock()
	before := s.reads
	s.mu.Unlock()
	c := s.candidate(ctx, s.names.at(place))
	if ctx.Err() != nil {
		return nil // the scan has failed: the result of this read says nothing about the record
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.count(c, before); err != nil {
		return unreadRecords(err)
	}
	s.users.note(place, c)
	if s.cache != nil {
		s.cache.Note(rotator.StatusOf(s.clock.Now(), c, 1), c.Unread())
	}
	if c.Unread() {
		s.lost++
	}
	s.matchUser(c)
	if s.sel.covers(c) {
		s.covered++
		if s.keep(c) {
			s.kept[place] = c
		}
	}
	return nil
}

// count distinguishes a record that the store does not return from a failed store,
// whose error it returns. before is how many reads had succeeded when this one started.
// The caller holds the lock.
func (s *fleetScan) count(c rotator.Candidate, before int) error {
	switch {
	case c.Ignored && c.Err == nil: // not read
	case !c.Transient():
		s.reads++
		s.unread = 0
	default:
		s.unread++
		s.failure = c.Err
		nothing := s.unread >= maxUnread && s.reads == before && errors.Is(c.Err, rotator.ErrUnavailable)
		if nothing || s.unread >= maxUnreadInARow {
			return c.Err
		}
	}
	return nil
}

func unreadRecords(err error) error { return fmt.Errorf("read the tenants' records: %w", err) }

// settleRivals keeps the tenants that may share a user, and reads those again that were
// not kept.
func (s *fleetScan) settleRivals(ctx context.Context) error {
	places := s.users.places()
	var dropped []int
	for _, place := range places {
		if _, kept := s.kept[place]; !kept {
			dropped = append(dropped, place)
		}
	}
	again := make([]rotator.Candidate, len(dropped))
	parallel(s.Workers, len(dropped), func(i int) { again[i] = s.candidate(ctx, s.names.at(dropped[i])) })
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, place := range dropped {
		s.kept[place] = again[i]
	}
	s.doubt(places)
	if s.cache == nil {
		return nil
	}
	var together []rotator.Candidate
	for _, place := range places {
		if c := s.kept[place]; !c.Unread() || c.Credential.Origin != "" { // for the others the cache has more data
			together = append(together, c)
		}
	}
	s.cache.EndScan(statuses(s.clock.Now(), together))
	return nil
}

// doubt excludes tenants from the run that may share the user of a tenant whose record
// the store returned once and then not again.
func (s *fleetScan) doubt(places []int) {
	for _, place := range places {
		lost := s.kept[place]
		if !lost.Unread() {
			continue
		}
		for _, other := range places {
			c := s.kept[other]
			if c.Err == nil && s.users.hashes[other] == s.users.hashes[place] {
				c.Err = fmt.Errorf("tenant %s may have the same user, and its record cannot be read any more: %w", lost.Name, lost.Err)
				s.kept[other] = c
			}
		}
	}
}

func (r *run) candidate(ctx context.Context, name string) rotator.Candidate {
	c := rotator.ReadCandidate(ctx, r.Store, r.Mailu, r.DefaultPolicy, name)
	c.Failed = r.Cache.Failed(name)
	if r.Engine != nil && c.Credential.Origin != "" {
		c.Unlisted = r.Engine.Serves(ctx, c.Credential.Origin)
	}
	return c
}

// duplicates finds the tenants of a fleet that may name the same user: those whose
// users have the same hash. It keeps 8 bytes for each tenant, by its place in the list.
// With a million tenants, two different users share a hash once in 30 million scans;
// the records then decide.
type duplicates struct {
	seed   maphash.Seed
	hashes []uint64 // 0: names no user
}

func newDuplicates(tenants int) *duplicates {
	return &duplicates{seed: maphash.MakeSeed(), hashes: make([]uint64, tenants)}
}

// note records the user of the i-th tenant.
func (d *duplicates) note(i int, c rotator.Candidate) { d.hashes[i] = d.hash(c) }

func (d *duplicates) hash(c rotator.Candidate) uint64 {
	key := rotator.UserKey(c)
	if key == "" {
		return 0
	}
	return max(maphash.String(d.seed, key), 1)
}

// count is the number of tenants with the candidate's user; 0 if it names none.
func (d *duplicates) count(c rotator.Candidate) int {
	wanted := d.hash(c)
	if wanted == 0 {
		return 0
	}
	return count(d.hashes, func(hash uint64) bool { return hash == wanted })
}

// places returns the places of all tenants that may share a user.
func (d *duplicates) places() (places []int) {
	sorted := slices.Sorted(slices.Values(d.hashes))
	shared := map[uint64]bool{}
	for i := 1; i < len(sorted); i++ {
		if sorted[i] != 0 && sorted[i] == sorted[i-1] {
			shared[sorted[i]] = true
		}
	}
	for i, hash := range d.hashes {
		if shared[hash] {
			places = append(places, i)
		}
	}
	return places
}
