package rotator

import (
	"context"
	"encoding/hex"
	"sync"
)

// roll is the names of a fleet, in the order of the list. They are read while
// they are still being listed, and kept to the end of the survey: 16 bytes for
// that of a tenant. So a list never waits for the reading of records, for which
// the store would not wait.
type roll struct {
	mu    sync.Mutex // guards what follows
	more  sync.Cond  // a name came, or the last one has come
	ids   [][][16]byte
	odd   map[int]string // names that are not the usual spelling of an id
	names int
	taken int
	ended bool
}

// rollBlock is how many names are allocated at a time: a slice that grows whole
// is there twice while it does.
const rollBlock = 4096

func newRoll() *roll {
	r := &roll{odd: map[int]string{}}
	r.more.L = &r.mu
	return r
}

// add puts a name at the end.
func (r *roll) add(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, usual := packID(name)
	if !usual {
		r.odd[r.names] = name
	}
	if r.names%rollBlock == 0 {
		r.ids = append(r.ids, make([][16]byte, 0, rollBlock))
	}
	last := &r.ids[len(r.ids)-1]
	*last = append(*last, id)
	r.names++
	r.more.Signal()
}

// end says that no more names come.
func (r *roll) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	r.more.Broadcast()
}

// next waits for a name that nobody has taken. It is false after the last one,
// and once ctx has ended: whoever adds names has to end them then too.
func (r *roll) next(ctx context.Context) (i int, name string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.taken == r.names && !r.ended {
		r.more.Wait()
	}
	if r.taken == r.names || ctx.Err() != nil {
		return 0, "", false
	}
	i = r.taken
	r.taken++
	return i, r.at(i), true
}

// name is the i-th of a roll to which nothing is added any more.
func (r *roll) name(i int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at(i)
}

func (r *roll) at(i int) string {
	if name, odd := r.odd[i]; odd {
		return name
	}
	return unpackID(r.ids[i/rollBlock][i%rollBlock])
}

// packID takes the 16 bytes that a UUID stands for. It is false for any name that
// unpackID would not give back as it was.
func packID(name string) (id [16]byte, usual bool) {
	if !isUUIDv4(name) {
		return id, false
	}
	digits := make([]byte, 0, 32) // on the stack, as all here: each tenant comes by several times
	for _, part := range [...]string{name[:8], name[9:13], name[14:18], name[19:23], name[24:]} {
		digits = append(digits, part...)
	}
	if _, err := hex.Decode(id[:], digits); err != nil {
		return id, false
	}
	text := uuidText(id)
	return id, string(text[:]) == name
}

func unpackID(id [16]byte) string {
	text := uuidText(id)
	return string(text[:])
}

func uuidText(id [16]byte) (text [36]byte) {
	hex.Encode(text[0:], id[:4])
	hex.Encode(text[9:], id[4:6])
	hex.Encode(text[14:], id[6:8])
	hex.Encode(text[19:], id[8:10])
	hex.Encode(text[24:], id[10:])
	for _, dash := range [...]int{8, 13, 18, 23} {
		text[dash] = '-'
	}
	return text
}
