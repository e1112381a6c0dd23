package crypto

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// KeySize is the length of a master key in bytes (AES-256).
const KeySize = 32

// ErrNoKey is returned for a key version that the keyring does not hold: it was
// trimmed, or is below the key's min_decryption_version.
var ErrNoKey = errors.New("no such master key version")

// KeyVersion is the version of a Transit key, counted from 1. Zero means "not
// recorded".
type KeyVersion int

// MasterKey is one version of the master key.
type MasterKey struct {
	Version KeyVersion
	key     Secret
}

// Keyring holds all readable versions of the master key during one run. It is safe for
// concurrent use until it is wiped.
type Keyring struct {
	keys    []MasterKey // newest first
	derived atomic.Int64
}

// NewKeyring takes ownership of the keys. It refuses an empty set, a version
// below 1 and a key that is not [KeySize] bytes.
func NewKeyring(keys map[KeyVersion][]byte) (*Keyring, error) {
	if len(keys) == 0 {
		return nil, errors.New("master key has no version")
	}
	ring := &Keyring{}
	for version, key := range keys {
		if version < 1 {
			return nil, fmt.Errorf("master key version %d: versions count from 1", version)
		}
		if len(key) != KeySize {
			return nil, fmt.Errorf("master key version %d has %d bytes, want %d (AES-256)", version, len(key), KeySize)
		}
		ring.keys = append(ring.keys, MasterKey{Version: version, key: NewSecret(key)})
	}
	slices.SortFunc(ring.keys, func(a, b MasterKey) int { return cmp.Compare(b.Version, a.Version) })
	return ring, nil
}

// Newest returns the version that new passwords are sealed with.
func (r *Keyring) Newest() MasterKey {
	return r.keys[0]
}

// Has reports whether the keyring holds the version.
func (r *Keyring) Has(version KeyVersion) bool {
	return slices.ContainsFunc(r.keys, func(k MasterKey) bool { return k.Version == version })
}

// Versions returns all its versions, newest first.
func (r *Keyring) Versions() []KeyVersion {
	versions := make([]KeyVersion, len(r.keys))
	for i, k := range r.keys {
		versions[i] = k.Version
	}
	return versions
}

// Derivations is the number of keys derived for sealing and opening so far, at 10 to 20
// ms of CPU each. Tests limit it.
func (r *Keyring) Derivations() int { return int(r.derived.Load()) }

// candidates returns the keys that may have sealed a record: the recorded version, or
// every version, newest first, if none is recorded.
func (r *Keyring) candidates(version KeyVersion) ([]MasterKey, error) {
	if version == 0 {
		return r.keys, nil
	}
	i := slices.IndexFunc(r.keys, func(k MasterKey) bool { return k.Version == version })
	if i < 0 {
		return nil, fmt.Errorf("version %d: %w", version, ErrNoKey)
	}
	return r.keys[i : i+1], nil
}

// Wipe zeroes every key. The keyring must not be used afterwards.
func (r *Keyring) Wipe() {
	for _, k := range r.keys {
		k.key.Wipe()
	}
}
