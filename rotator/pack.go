package rotator

import (
	"math"
	"time"
)

// pack is false where something of the entry would be lost. A former one has its
// user's name in the arena already.
func (r *register) pack(e Entry, former *packed) (p packed, fits bool) {
	id, usual := packID(e.Tenant)
	if !usual || e.Fault != "" || e.Foreign || e.Pending != nil || e.Reason != "" || !e.Expires.IsZero() {
		return packed{}, false
	}
	p = packed{id: id, born: unborn, at: seconds(e.At.Add(time.Second - 1)), since: seconds(e.StateSince)}
	if !e.Born.IsZero() {
		p.born = e.Born.UnixMilli()
	}
	if !e.Due.IsZero() {
		p.early = uint32(e.Born.Add(e.Policy.MaxAge()).Sub(e.Due) / time.Second)
	}
	if former != nil && r.users.get(former.user) == e.User {
		p.user, fits = former.user, true
	} else {
		p.user, fits = r.users.add(e.User)
	}
	fits = r.origins.add(e.Origin, &p.origin) && r.policies.add(e.Policy, &p.policy) && fits
	var outcome, state uint16
	fits = r.outcomes.add(e.Outcome, &outcome) && r.states.add(e.State, &state) && fits
	p.outcome, p.state = uint8(outcome), uint8(state) // there are not that many
	if !fits {
		return packed{}, false
	}
	back := r.unpack(&p)
	return p, back.Born.Equal(e.Born) && back.Due.Equal(e.Due)
}

func (r *register) unpack(p *packed) Entry {
	e := Entry{
		Status: Status{
			Tenant: unpackID(p.id), User: r.users.get(p.user),
			Origin: r.origins.values[p.origin], Policy: r.policies.values[p.policy],
		},
		Outcome: r.outcomes.values[p.outcome], At: instant(p.at), State: r.states.values[p.state], StateSince: instant(p.since),
	}
	if p.born == unborn {
		return e
	}
	e.Born = time.UnixMilli(p.born).UTC()
	if life := e.Policy.MaxAge(); life > 0 {
		e.Due = e.Born.Add(life - time.Duration(p.early)*time.Second)
	}
	return e
}

// seconds is 0 for a time before 1970, such as the zero one.
func seconds(t time.Time) uint32 { return uint32(max(t.Unix(), 0)) }

func instant(seconds uint32) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

// table has each value once. Of more than 65,536 the rest do not fit.
type table[T comparable] struct {
	values []T
	places map[T]uint16
}

func (t *table[T]) add(value T, place *uint16) bool {
	known, found := t.places[value]
	if found {
		*place = known
		return true
	}
	if len(t.values) > math.MaxUint16 {
		return false
	}
	if t.places == nil {
		t.places = map[T]uint16{}
	}
	*place = uint16(len(t.values))
	t.places[value] = *place
	t.values = append(t.values, value)
	return true
}

// arena is short texts behind each other.
type arena struct{ blocks [][]byte }

const arenaBlock = 1 << 16

// add is false for a text that is too long.
func (a *arena) add(text string) (place uint32, fits bool) {
	if len(text) > math.MaxUint8 || len(a.blocks) > math.MaxUint16 {
		return 0, false
	}
	if n := len(a.blocks); n == 0 || len(a.blocks[n-1])+1+len(text) > arenaBlock {
		a.blocks = append(a.blocks, make([]byte, 0, arenaBlock))
	}
	n := len(a.blocks) - 1
	place = uint32(n*arenaBlock + len(a.blocks[n]))
	a.blocks[n] = append(append(a.blocks[n], byte(len(text))), text...)
	return place, true
}

func (a *arena) get(place uint32) string {
	text := a.blocks[place/arenaBlock][place%arenaBlock:]
	return string(text[1 : 1+int(text[0])])
}

// size is that of all texts, those included that nobody needs any more.
func (a *arena) size() int { return len(a.blocks) * arenaBlock }
