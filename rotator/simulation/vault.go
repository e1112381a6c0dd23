package simulation

import (
	"encoding/json"
	"hash/maphash"
	"maps"
	"slices"
)

// keptVersions is KV v2's default number of versions.
const keptVersions = 10

// vault is one record of a KV v2 engine.
type vault struct {
	versions []version // number n at index n-1
	gone     bool      // its metadata was deleted with all versions
	digest   uint64    // of all versions, in order
}

type version struct {
	fields  map[string]any
	digest  uint64
	deleted bool // soft delete: its number still counts, and `vault kv undelete` restores it
}

// vacant reports whether no record exists or existed.
func (v *vault) vacant() bool { return len(v.versions) == 0 }

// newest is the number that check-and-set compares.
func (v *vault) newest() int {
	if v.gone {
		return 0
	}
	return len(v.versions)
}

// fields returns the newest version's fields, nil if the record or that version is
// deleted.
func (v *vault) fields() map[string]any {
	if v.gone || v.vacant() || v.versions[len(v.versions)-1].deleted {
		return nil
	}
	return v.versions[len(v.versions)-1].fields
}

// restorable is fields, but includes what undeleting would restore.
func (v *vault) restorable() map[string]any {
	if v.gone || v.vacant() {
		return nil
	}
	return v.versions[len(v.versions)-1].fields
}

// put appends a version. A stored map is never changed.
func (v *vault) put(seed maphash.Seed, fields map[string]any) int {
	digest := digestOf(seed, fields)
	v.versions = append(v.versions, version{fields: fields, digest: digest})
	v.digest = mix(v.digest, digest)
	return len(v.versions)
}

// kept returns the versions still in the history, oldest first.
func (v *vault) kept() []version {
	if v.gone {
		return nil
	}
	return v.versions[max(0, len(v.versions)-keptVersions):]
}

// copyOf isolates the store from a caller's later changes, and vice versa. Records have
// maps inside maps and no lists.
func copyOf(fields map[string]any) map[string]any {
	out := make(map[string]any, len(fields))
	for name, value := range fields {
		if inner, isMap := value.(map[string]any); isMap {
			value = maps.Clone(inner)
		}
		out[name] = value
	}
	return out
}

func digestOf(seed maphash.Seed, fields map[string]any) uint64 {
	var names [16]string
	var h maphash.Hash
	h.SetSeed(seed)
	sorted := slices.AppendSeq(names[:0], maps.Keys(fields))
	slices.Sort(sorted)
	for _, name := range sorted {
		_, _ = h.WriteString(name)
		_ = h.WriteByte('=')
		switch value := fields[name].(type) {
		case string:
			_, _ = h.WriteString(value)
		case json.Number:
			_, _ = h.WriteString(string(value))
		case map[string]any:
			inner := mix(1, digestOf(seed, value))
			for range 8 {
				_ = h.WriteByte(byte(inner))
				inner >>= 8
			}
		}
		_ = h.WriteByte(0)
	}
	return h.Sum64()
}

// mix folds b into a (the finaliser of splitmix64).
func mix(a, b uint64) uint64 {
	x := a*0x9e3779b97f4a7c15 + b + 0x632be59bd9b4e019
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
