package rotator

import (
	"hash/maphash"
	"slices"
)

// rivals finds the tenants of a fleet that may name the same user: those whose
// users have the same hash. It has 8 bytes for each tenant, by its place in the
// roll. Two users that are not the same share a hash once in 30 million surveys
// of a million tenants; the records then tell.
type rivals struct {
	seed   maphash.Seed
	blocks []*[rollBlock]uint64 // 0: names no user
}

func newRivals() *rivals { return &rivals{seed: maphash.MakeSeed()} }

// note remembers the user of the i-th tenant.
func (r *rivals) note(i int, c Candidate) {
	for len(r.blocks) <= i/rollBlock {
		r.blocks = append(r.blocks, new([rollBlock]uint64))
	}
	if key := userKey(c); key != "" {
		r.blocks[i/rollBlock][i%rollBlock] = max(maphash.String(r.seed, key), 1)
	}
}

// hash is that of the i-th tenant's user.
func (r *rivals) hash(i int) uint64 { return r.blocks[i/rollBlock][i%rollBlock] }

// count is how many tenants have the candidate's user.
func (r *rivals) count(c Candidate) (n int) {
	wanted := max(maphash.String(r.seed, userKey(c)), 1)
	for _, block := range r.blocks {
		for _, hash := range block {
			if hash == wanted {
				n++
			}
		}
	}
	return n
}

// found are the places of all that may have a rival.
func (r *rivals) found() (places []int) {
	shared := r.shared()
	if len(shared) == 0 {
		return nil
	}
	for b, block := range r.blocks {
		for i, hash := range block {
			if shared[hash] {
				places = append(places, b*rollBlock+i)
			}
		}
	}
	return places
}

// shared are the hashes that come more than once. It sorts a sixteenth of them at
// a time, so as not to have them all twice.
func (r *rivals) shared() map[uint64]bool {
	shared := map[uint64]bool{}
	var part []uint64
	for digit := range uint64(16) {
		part = part[:0]
		for _, block := range r.blocks {
			for _, hash := range block {
				if hash != 0 && hash>>60 == digit {
					part = append(part, hash)
				}
			}
		}
		slices.Sort(part)
		for i := 1; i < len(part); i++ {
			if part[i] == part[i-1] {
				shared[part[i]] = true
			}
		}
	}
	return shared
}
