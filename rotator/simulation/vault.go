package simulation

import (
	"encoding/json"
	"hash/maphash"
	"maps"
	"slices"
)

// keptVersions is how many versions KV v2 keeps unless told otherwise.
const keptVersions = 10

// vault is one record of a KV v2 engine.
type vault struct {
	versions []version // number n at index n-1
	gone     bool      // its metadata was deleted, and all versions with it
	digest   uint64    // of all versions, in their order
}

type version struct {
	fields  map[string]any
	digest  uint64
	deleted bool // softly: its number still counts, and `vault kv undelete` brings it back
}

// vacant reports whether there is no record, and none was.
func (v *vault) vacant() bool { return len(v.versions) == 0 }

// newest is the number that check-and-set compares.
func (v *vault) newest() int {
	if v.gone {
		return 0
	}
	return len(v.versions)
}

// fields of the newest version, nil where the record or that version is deleted.
func (v *vault) fields() map[string]any {
	if v.gone || v.vacant() || v.versions[len(v.versions)-1].deleted {
		return nil
	}
	return v.versions[len(v.versions)-1].fields
}

// restorable is the same, with what undeleting would bring back.
func (v *vault) restorable() map[string]any {
	if v.gone || v.vacant() {
		return nil
	}
	return v.versions[len(v.versions)-1].fields
}

// put appends a version. Nothing is ever changed in a stored map.
func (v *vault) put(seed maphash.Seed, fields map[string]any) int {
	digest := digestOf(seed, fields)
	v.versions = append(v.versions, version{fields: fields, digest: digest})
	v.digest = mix(v.digest, digest)
	return len(v.versions)
}

// kept are the versions that the history still has, oldest first.
func (v *vault) kept() []version {
	if v.gone {
		return nil
	}
	return v.versions[max(0, len(v.versions)-keptVersions):]
}

// copyOf keeps a caller's later changes out of the store, and the store's out
// of what the caller was given. Records have maps inside maps and no lists.
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
