package rotatortest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// Store is a KV v2 engine with a Transit key in memory. The zero value is empty and
// ready to use.
type Store struct {
	Hook  Hook
	Key   [crypto.KeySize]byte
	Clock rotator.Clock // returned by Time
	// DeleteAfter is Vault's delete_version_after: versions written while it is set
	// expire after this time. It needs Clock.
	DeleteAfter time.Duration
	MaxVersions int // Vault's max_versions: how many versions each record keeps; 0: all
	// Listed, if set, is called before the list yields its i-th name, so that a test
	// can make it wait. An error ends the list there.
	Listed func(i int) error

	mu       sync.Mutex
	versions map[string][]map[string]any // version n at index n-1; nil: deleted
	lives    map[string][]lifetime       // of each version; zero: it does not expire
	writes   int
	rings    []*crypto.Keyring // all keyrings returned so far
}

// lifetime is when a version was written and when it expires.
type lifetime struct{ from, until time.Time }

// over reports whether the version has expired. A version without a limit never does.
func (s *Store) over(l lifetime) bool { return !l.until.IsZero() && !s.Clock.Now().Before(l.until) }

// Undelete restores a version, as `vault kv undelete` does for an expired one.
func (s *Store) Undelete(tenant string, version int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lives[tenant][version-1] = lifetime{}
	if s.DeleteAfter > 0 {
		s.lives[tenant][version-1] = lifetime{s.Clock.Now(), s.Clock.Now().Add(s.DeleteAfter)}
	}
}

// Put stores fields as an operator would, without check-and-set.
func (s *Store) Put(tenant string, fields map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.append(tenant, fields)
}

// Delete deletes the newest version, as `vault kv delete` does.
func (s *Store) Delete(tenant string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions[tenant][len(s.versions[tenant])-1] = nil
}

// Forget deletes all versions, as `vault kv metadata delete` does.
func (s *Store) Forget(tenant string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.versions, tenant)
	delete(s.lives, tenant)
}

// Edit changes the newest version in place, without adding a version.
func (s *Store) Edit(tenant string, edit func(map[string]any)) {
	fields, _ := s.Get(tenant)
	edit(fields)
	s.Put(tenant, fields)
}

// Get returns a copy of the newest version and its number.
func (s *Store) Get(tenant string) (map[string]any, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.versions[tenant])
	if n == 0 {
		return nil, 0
	}
	return clone(s.versions[tenant][n-1]), n
}

// Writes counts the successful check-and-set writes.
func (s *Store) Writes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// Derivations counts the keys derived from the master keys so far.
func (s *Store) Derivations() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ring := range s.rings {
		n += ring.Derivations()
	}
	return n
}

// List implements rotator.Store. The hook is called once, before the first name.
func (s *Store) List(context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var names []string
		err := s.Hook.around(Call{Op: OpList}, func() error {
			s.mu.Lock()
			defer s.mu.Unlock()
			names = slices.Sorted(maps.Keys(s.versions))
			return nil
		})
		if err != nil {
			yield("", err)
			return
		}
		for i, name := range names {
			if s.Listed != nil {
				err = s.Listed(i)
			}
			if !yield(name, err) || err != nil {
				return
			}
		}
	}
}

// Read implements rotator.Store.
func (s *Store) Read(_ context.Context, tenant rotator.TenantID) (doc rotator.Document, err error) {
	err = s.Hook.around(Call{Op: OpRead, Tenant: tenant}, func() error {
		fields, version := s.Get(string(tenant))
		life := s.life(string(tenant), version)
		switch {
		case fields != nil && s.over(life):
			return &rotator.DeletedError{Version: version, Expired: true, Err: fmt.Errorf("read %s: version %d deleted itself", tenant, version)}
		case fields == nil && version > 0:
			return &rotator.DeletedError{Version: version, Err: fmt.Errorf("read %s: version %d was deleted", tenant, version)}
		case fields == nil:
			return fmt.Errorf("read %s: %w", tenant, rotator.ErrAbsent)
		}
		doc = rotator.Document{Version: version, Fields: fields, Written: life.from, Expires: life.until}
		return nil
	})
	if err != nil {
		return rotator.Document{}, err
	}
	return doc, nil
}

// ReadVersion implements rotator.Store.
func (s *Store) ReadVersion(_ context.Context, tenant rotator.TenantID, version int) (doc rotator.Document, err error) {
	err = s.Hook.around(Call{Op: OpRead, Tenant: tenant}, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		versions := s.versions[string(tenant)]
		switch {
		case version < 1 || version > len(versions) || version <= len(versions)-s.MaxVersions && s.MaxVersions > 0:
			return fmt.Errorf("read %s version %d: %w", tenant, version, rotator.ErrAbsent)
		case versions[version-1] == nil || s.over(s.lives[string(tenant)][version-1]):
			return &rotator.DeletedError{Version: version, Err: fmt.Errorf("read %s: version %d was deleted", tenant, version)}
		}
		doc = rotator.Document{Version: version, Fields: clone(versions[version-1])}
		return nil
	})
	return doc, err
}

// Write implements rotator.Store.
func (s *Store) Write(_ context.Context, tenant rotator.TenantID, doc rotator.Document) (version int, err error) {
	err = s.Hook.around(Call{Op: OpWrite, Tenant: tenant}, func() (err error) {
		version, err = s.put(tenant, doc)
		return err
	})
	if err != nil {
		return 0, err
	}
	return version, nil
}

// put writes by check-and-set.
func (s *Store) put(tenant rotator.TenantID, doc rotator.Document) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.versions[string(tenant)]) != doc.Version {
		return 0, fmt.Errorf("write %s: %w", tenant, rotator.ErrConflict)
	}
	s.writes++
	return s.append(string(tenant), doc.Fields), nil
}

// MasterKeys implements rotator.Keys.
func (s *Store) MasterKeys(context.Context) (ring *crypto.Keyring, err error) {
	err = s.Hook.around(Call{Op: OpKeys}, func() (err error) {
		ring, err = crypto.NewKeyring(map[crypto.KeyVersion][]byte{1: slices.Clone(s.Key[:])})
		s.mu.Lock()
		defer s.mu.Unlock()
		s.rings = append(s.rings, ring)
		return err
	})
	return ring, err
}

// Time implements rotator.TimeSource.
func (s *Store) Time(context.Context) (time.Time, error) { return s.Clock.Now(), nil }

func (s *Store) append(tenant string, fields map[string]any) int {
	if s.versions == nil {
		s.versions, s.lives = map[string][]map[string]any{}, map[string][]lifetime{}
	}
	var life lifetime
	if s.DeleteAfter > 0 {
		life = lifetime{s.Clock.Now(), s.Clock.Now().Add(s.DeleteAfter)}
	}
	s.lives[tenant] = append(s.lives[tenant], life)
	s.versions[tenant] = append(s.versions[tenant], clone(fields))
	return len(s.versions[tenant])
}

func (s *Store) life(tenant string, version int) lifetime {
	s.mu.Lock()
	defer s.mu.Unlock()
	if version == 0 {
		return lifetime{}
	}
	return s.lives[tenant][version-1]
}

// clone copies as Vault does: through JSON, numbers digit for digit.
func clone(fields map[string]any) map[string]any {
	if fields == nil {
		return nil
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		panic(err) // the test's record is not JSON
	}
	var out map[string]any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&out); err != nil {
		panic(err)
	}
	return out
}
