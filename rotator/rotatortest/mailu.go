package rotatortest

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/net/idna"
	"golang.org/x/sync/semaphore"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// Mailu is any number of servers, one for each origin in Origins.
type Mailu struct {
	Hook       Hook
	Origins    []rotator.Origin
	APIs       map[rotator.Origin]string    // of origins whose API is on another host
	Width      int                          // concurrent requests, and push slots; 0 is 2, and any number of pushes
	NoDomain   string                       // users of this domain cannot be created
	Unverified bool                         // Proof returns no result, as with verify: none
	Accounts   map[string]rotator.Account   // by user
	Logins     map[rotator.Origin]LoginFunc // of servers that have mail services to log in to
	Checking   func()                       // called while a hash is checked; nil: the check takes no time

	mu        sync.Mutex
	pushes    map[rotator.Origin]*semaphore.Weighted // of Width push slots
	passwords map[string]string
	hashes    map[string]int // how many each user had
	sets      int
}

// LoginFunc answers a login. Accepted says whether the password is the user's.
type LoginFunc func(user string, accepted bool) error

// AddUser gives a user a password.
func (m *Mailu) AddUser(user, password string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.passwords == nil {
		m.passwords = map[string]string{}
	}
	m.passwords[stored(user)] = password
	m.hashed(user)
}

// Password is the user's login password; "" for an unknown user.
func (m *Mailu) Password(user string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.passwords[stored(user)]
}

// Sets counts how often a password was set.
func (m *Mailu) Sets() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sets
}

// Server implements rotator.Mailu.
func (m *Mailu) Server(origin rotator.Origin) (rotator.Server, error) {
	for _, known := range m.Origins {
		if known == origin {
			return server{m, origin}, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", origin, rotator.ErrOriginNotListed)
}

// API implements rotator.Mailu.
func (m *Mailu) API(origin rotator.Origin) string {
	if api, found := m.APIs[origin]; found {
		return api
	}
	return origin.Host()
}

// stored is an address as Mailu stores it: in lower case, the domain as punycode.
func stored(user string) string {
	local, domain, _ := strings.Cut(strings.ToLower(user), "@")
	if ascii, err := idna.Lookup.ToASCII(domain); err == nil {
		domain = ascii
	}
	return local + "@" + domain
}

type server struct {
	*Mailu
	origin rotator.Origin
}

func (s server) Account(user string) rotator.Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Accounts[user]
}

func (s server) CanLogin(user string) bool {
	return s.Logins[s.origin] != nil && !s.Account(user).Disabled
}

func (s server) Login(_ context.Context, user string, password crypto.Secret) error {
	return s.Logins[s.origin](user, s.Password(user) == password.RevealString())
}

func (s server) MaxConcurrent() int {
	if s.Width > 0 {
		return s.Width
	}
	return 2
}

func (s server) PushSlot(ctx context.Context) (release func(), err error) {
	if s.Width == 0 {
		return func() {}, nil
	}
	s.mu.Lock()
	if s.pushes == nil {
		s.pushes = map[rotator.Origin]*semaphore.Weighted{}
	}
	if s.pushes[s.origin] == nil {
		s.pushes[s.origin] = semaphore.NewWeighted(int64(s.Width))
	}
	slots := s.pushes[s.origin]
	s.mu.Unlock()
	if err := slots.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return func() { slots.Release(1) }, nil
}

func (s server) Knows(_ context.Context, user string) error {
	return s.Hook.around(Call{Op: OpKnows, User: user}, func() error {
		return s.known(user)
	})
}

func (s server) SetPassword(ctx context.Context, user string, password crypto.Secret) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.Hook.around(Call{Op: OpSetPassword, User: user}, func() error {
		if err := s.known(user); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sets++
		if account, found := s.Accounts[user]; found {
			account.ChangeAtLogin = false
			s.Accounts[user] = account
		}
		s.passwords[stored(user)] = password.RevealString()
		s.hashed(user)
		return nil
	})
}

func (s server) Verify(_ context.Context, user string, password crypto.Secret) (*rotator.HashCheck, error) {
	if s.Unverified {
		return nil, nil
	}
	proof, hash := rotator.Unproven, ""
	check := func() (rotator.Verification, error) {
		if s.Checking != nil {
			s.Checking()
		}
		return proof, nil
	}
	err := s.Hook.around(Call{Op: OpVerify, User: user}, func() error {
		if s.known(user) != nil {
			return fmt.Errorf("user %s: %w: %w", user, rotator.ErrUnknownUser, rotator.ErrUnverifiable)
		}
		proof, hash = rotator.Mismatch, s.shown(user)
		if s.Password(user) == password.RevealString() {
			proof = rotator.Match
		}
		return nil
	})
	return &rotator.HashCheck{Hash: hash, Check: check}, err
}

func (s server) Hash(_ context.Context, user string) (hash string, err error) {
	if s.Unverified {
		return "", nil
	}
	err = s.Hook.around(Call{Op: OpHash, User: user}, func() error {
		if s.known(user) != nil {
			return fmt.Errorf("user %s: %w: %w", user, rotator.ErrUnknownUser, rotator.ErrUnverifiable)
		}
		hash = s.shown(user)
		return nil
	})
	return hash, err
}

// shown is the hash that Mailu shows: another one after each change, also to the same
// password, since each has a salt of its own.
func (m *Mailu) shown(user string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprintf("hash %d of %s", m.hashes[stored(user)], stored(user))
}

// hashed makes another hash. The caller holds the lock.
func (m *Mailu) hashed(user string) {
	if m.hashes == nil {
		m.hashes = map[string]int{}
	}
	m.hashes[stored(user)]++
}

func (s server) known(user string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, found := s.passwords[stored(user)]; !found {
		return fmt.Errorf("user %s: %w: %w", user, rotator.ErrUnknownUser, rotator.ErrRefused)
	}
	return nil
}
