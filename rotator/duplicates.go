package rotator

import (
	"hash/maphash"
	"slices"
)

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
func (d *duplicates) note(i int, c Candidate) { d.hashes[i] = d.hash(c) }

func (d *duplicates) hash(c Candidate) uint64 {
	key := userKey(c)
	if key == "" {
		return 0
	}
	return max(maphash.String(d.seed, key), 1)
}

// count is the number of tenants with the candidate's user; 0 if it names none.
func (d *duplicates) count(c Candidate) (n int) {
	wanted := d.hash(c)
	if wanted == 0 {
		return 0
	}
	for _, hash := range d.hashes {
		if hash == wanted {
			n++
		}
	}
	return n
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
