package rotator

import (
	"bytes"
	"maps"
	"math"
	"sort"
)

// register is the tenants on a [Board]. Nearly all of them are what one expects,
// and are packed into 48 bytes and their user's name, without a pointer that the
// garbage collector would have to follow; a million of them are to fit into a small
// host. What does not fit is kept whole.
type register struct {
	blocks   [][]packed // of packBlock each, but for the last
	sorted   int        // so many, from the first, are in the order of their ids
	users    arena
	origins  table[Origin]
	policies table[Policy]
	outcomes table[Outcome]
	states   table[State]
	whole    map[string]*unpacked // by tenant; it counts, if there is a packed one as well
	survey   uint8                // the number of the last one, from 0 again after 255
}

// packed is an [Entry] of a tenant whose record has nothing special.
type packed struct {
	id      [16]byte
	born    int64  // Unix time in milliseconds; unborn: unknown
	early   uint32 // seconds from Due to the end of the policy
	at      uint32 // Unix time, rounded up; 0: no outcome
	since   uint32 // Unix time, rounded down; 0: no state
	user    uint32 // in the arena
	origin  uint16 // in its table, as those below
	policy  uint16
	outcome uint8
	state   uint8
	seen    uint8 // the last survey that has
}

type unpacked struct {
	Entry
	seen uint8
}

const (
	packBlock = 4096 // a slice that grows whole is there twice while it does
	unborn    = math.MinInt64
)

func newRegister() *register { return &register{whole: map[string]*unpacked{}} }

// find returns the tenant's entry, to be changed and put back.
func (r *register) find(tenant string) (Entry, bool) {
	if w := r.whole[tenant]; w != nil {
		return w.Entry, true
	}
	if p := r.packed(tenant); p != nil {
		return r.unpack(p), true
	}
	return Entry{}, false
}

// packed is nil where there is none.
func (r *register) packed(tenant string) *packed {
	id, usual := packID(tenant)
	if !usual {
		return nil
	}
	i := sort.Search(r.sorted, func(i int) bool { return bytes.Compare(r.at(i).id[:], id[:]) >= 0 })
	if i == r.sorted || r.at(i).id != id {
		return nil
	}
	return r.at(i)
}

func (r *register) at(i int) *packed { return &r.blocks[i/packBlock][i%packBlock] }

func (r *register) len() int {
	if len(r.blocks) == 0 {
		return 0
	}
	return (len(r.blocks)-1)*packBlock + len(r.blocks[len(r.blocks)-1])
}

// put replaces an entry that find has returned.
func (r *register) put(e Entry) {
	if w := r.whole[e.Tenant]; w != nil {
		w.Entry = e
		return
	}
	p := r.packed(e.Tenant)
	if next, fits := r.pack(e, p); fits {
		next.seen = p.seen
		*p = next
		return
	}
	r.whole[e.Tenant] = &unpacked{e, p.seen}
}

// note puts the entry of a tenant that a survey has seen. One that is new is found
// once end has been called.
func (r *register) note(e Entry) {
	former := r.packed(e.Tenant)
	next, fits := r.pack(e, former)
	if !fits {
		r.whole[e.Tenant] = &unpacked{e, r.survey}
		return
	}
	delete(r.whole, e.Tenant)
	next.seen = r.survey
	if former != nil {
		*former = next
		return
	}
	if r.len()%packBlock == 0 {
		r.blocks = append(r.blocks, make([]packed, 0, packBlock))
	}
	last := &r.blocks[len(r.blocks)-1]
	*last = append(*last, next)
}

// order makes the tenants that are new be found.
func (r *register) order() {
	if r.sorted < r.len() {
		sort.Sort((*byID)(r))
		r.sorted = r.len()
	}
}

// forget drops the tenants that the last survey has not seen.
func (r *register) forget() {
	kept, names := 0, 0
	for i := range r.len() {
		p := r.at(i)
		if p.seen == r.survey {
			*r.at(kept) = *p
			kept++
			names += len(r.users.get(p.user))
		}
	}
	full := (kept + packBlock - 1) / packBlock
	clear(r.blocks[full:])
	r.blocks = r.blocks[:full]
	if rest := kept % packBlock; rest > 0 {
		last := &r.blocks[len(r.blocks)-1]
		*last = (*last)[:rest]
	}
	r.sorted = kept
	maps.DeleteFunc(r.whole, func(_ string, w *unpacked) bool { return w.seen != r.survey })
	if r.users.size() > 2*(names+kept)+arenaBlock {
		r.rewriteUsers()
	}
}

// rewriteUsers drops names that no tenant has any more.
func (r *register) rewriteUsers() {
	var users arena
	for i := range r.len() {
		p := r.at(i)
		p.user, _ = users.add(r.users.get(p.user))
	}
	r.users = users
}

// part appends the entries of the i-th block, and after the last block those that
// are in none; then it is false.
func (r *register) part(to []Entry, i int) ([]Entry, bool) {
	if i == len(r.blocks) {
		for tenant, w := range r.whole {
			if r.packed(tenant) == nil {
				to = append(to, w.Entry)
			}
		}
		return to, false
	}
	for j := range r.blocks[i] {
		e := r.unpack(&r.blocks[i][j])
		if w := r.whole[e.Tenant]; w != nil {
			e = w.Entry
		}
		to = append(to, e)
	}
	return to, true
}

// byID sorts the packed entries where they are.
type byID register

func (r *byID) Len() int { return (*register)(r).len() }

func (r *byID) Less(i, j int) bool {
	a, b := (*register)(r).at(i), (*register)(r).at(j)
	return bytes.Compare(a.id[:], b.id[:]) < 0
}

func (r *byID) Swap(i, j int) {
	a, b := (*register)(r).at(i), (*register)(r).at(j)
	*a, *b = *b, *a
}
