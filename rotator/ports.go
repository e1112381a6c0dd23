package rotator

import (
	"context"
	"errors"
	"iter"
	"time"

	"mailu-rotator/crypto"
)

// Document is one tenant's record as the store holds it: a version and named
// fields. Values that this package does not know pass through it untouched;
// numbers are json.Number, so that they come back digit for digit.
type Document struct {
	Version int // KV v2 version; check-and-set compares it
	Fields  map[string]any
	Written time.Time // when the version was stored; zero where the store does not tell
	Expires time.Time // when the store deletes the version by itself; zero: never
}

// Store is the copy of record. Its methods may be called concurrently.
type Store interface {
	// List yields the names of all entries under the prefix, each once and in any
	// order, as they come. An error ends it, and what it has yielded before is then
	// not the fleet. An empty or missing prefix is [ErrNoTenants]: it is never "no
	// tenants".
	List(ctx context.Context) iter.Seq2[string, error]
	// Read returns the tenant's record, or [ErrAbsent]: a [DeletedError] where
	// earlier versions may still be there.
	Read(ctx context.Context, tenant TenantID) (Document, error)
	// ReadVersion returns the record as it was at an earlier version, or
	// [ErrAbsent] where the history has it no more.
	ReadVersion(ctx context.Context, tenant TenantID, version int) (Document, error)
	// Write stores doc.Fields if the record's version is still doc.Version and
	// returns the new version. [ErrConflict] means that it was not, which a
	// write that had already landed before a retry shows as well. [ErrForbidden]
	// means that nothing was written. After any other error the write may or may
	// not have happened.
	//
	// An error of these methods that is [ErrUnavailable] is about the store, and any
	// other one about the record.
	Write(ctx context.Context, tenant TenantID, doc Document) (int, error)
}

// Keys gives the versions of the master key. The caller wipes the keyring.
type Keys interface {
	MasterKeys(ctx context.Context) (*crypto.Keyring, error)
}

// Envelope seals and opens passwords; a *crypto.Keyring is the real one.
type Envelope interface {
	// Seal uses the newest key and returns its version.
	Seal(to crypto.Binding, password crypto.Secret) (crypto.SealedPassword, crypto.KeyVersion, error)
	// Open returns an error for what was not sealed so; version 0 tries every key.
	Open(version crypto.KeyVersion, from crypto.Binding, sealed crypto.SealedPassword) (crypto.Secret, error)
}

// Mailu finds the server of an origin.
type Mailu interface {
	// Server returns [ErrOriginNotListed] where the configuration lists no such
	// origin: no token may be sent there.
	Server(origin Origin) (Server, error)
	// API names the admin API that the requests for an origin's tenants go to.
	// Origins with one API have the same users: a Mailu may have several names. For
	// an origin that is not listed it is [Origin.Host].
	API(origin Origin) string
}

// Server is one Mailu server's admin API. Its methods may be called
// concurrently; a server limits by itself how many requests it is sent at a
// time, and sends nothing more after its token was refused once.
type Server interface {
	// Knows asks whether the server would answer for the user: nil, or the reason
	// why not, classed as by SetPassword. It changes nothing.
	Knows(ctx context.Context, username string) error
	// SetPassword makes password the user's password; doing it twice is
	// harmless. An error is [ErrRefused] only if every request of this call was
	// refused for certain, so that Mailu cannot have the password; see also
	// [ErrServerUnusable] and [RateLimitedError]. After any other error Mailu
	// may have it.
	SetPassword(ctx context.Context, username string, password crypto.Secret) error
	// Proof asks what Mailu holds for the user now. The check that it returns
	// tells whether that is password. It is nil where the server is configured not
	// to be asked.
	Proof(ctx context.Context, username string, password crypto.Secret) (HashCheck, error)
	// Account is what the latest answer to this value about the user showed, and
	// the zero Account where there was none. It asks nothing.
	Account(username string) Account
	// MaxConcurrent is how many requests the server takes at a time, at least 1.
	MaxConcurrent() int
}

// HashCheck is the part of a proof that needs no server any more, but up to seconds
// of this host's processor. It is called once, or not at all.
type HashCheck func() (Proof, error)

// proof is what the check says; without one nothing is proven.
func (check HashCheck) proof() (Proof, error) {
	if check == nil {
		return Unproven, nil
	}
	return check()
}

// Proof is what a server's answer says about a password.
type Proof int

const (
	// Unproven means that this server is configured not to be asked.
	Unproven Proof = iota
	// Held means that the server holds the hash of just this password.
	Held
	// NotHeld means that it holds another one's.
	NotHeld
)

// Clock is where the domain takes the time from and how it waits.
type Clock interface {
	Now() time.Time
	// Sleep returns early, with the context's error, when ctx ends.
	Sleep(ctx context.Context, d time.Duration) error
}

// Errors that implementations return and the domain decides on.
var (
	// ErrNoTenants: there is nothing under the prefix, or no such prefix.
	ErrNoTenants = errors.New("nothing is there")
	// ErrAbsent: the tenant has no record, or its newest version is deleted.
	ErrAbsent = errors.New("no such record")
	// ErrConflict: the record changed since it was read, or an earlier try of
	// this very write has landed.
	ErrConflict = errors.New("the record changed since it was read")
	// ErrForbidden: the store refuses this identity; nothing was changed.
	ErrForbidden = errors.New("permission denied")
	// ErrUnavailable: the store as a whole gives nothing: it is sealed, a standby,
	// not to be reached, or takes no login any more. The error says nothing about
	// the record that was asked for.
	ErrUnavailable = errors.New("the store is not available")
	// ErrMalformed: the record cannot be understood, and is not touched.
	ErrMalformed = errors.New("malformed record, to be mended in Vault")
	// ErrOriginNotListed: the configuration lists no Mailu server of the
	// tenant's origin.
	ErrOriginNotListed = errors.New("origin not listed in the configuration")
	// ErrRefused: Mailu refused for certain and changed nothing.
	ErrRefused = errors.New("refused by Mailu")
	// ErrUnknownUser: Mailu has no such user.
	ErrUnknownUser = errors.New("unknown user")
	// ErrNotCreated: Mailu does not create the user, as it has it by now, or takes
	// no more of them.
	ErrNotCreated = errors.New("user not created")
	// ErrIntercepted: something in front of Mailu answered in its place, as a
	// firewall does. It is about this request alone, until several users in a row
	// are answered so, and does not tell whether Mailu has seen the request.
	ErrIntercepted = errors.New("answered by something in front of Mailu")
	// ErrServerUnusable: the token is wrong or the API is off. Nothing more may
	// be sent to this server in this run: five wrong tokens block the sender
	// for an hour.
	ErrServerUnusable = errors.New("server not usable in this run")
	// ErrServerFailed: the server answered that it failed (500), which it may do about
	// one user only; the request may have taken effect.
	ErrServerFailed = errors.New("the server failed")
	// ErrUnverifiable: the server's answer can prove nothing, for a reason that
	// asking again does not change.
	ErrUnverifiable = errors.New("password cannot be verified")
)

// RateLimitedError is returned when a server asks for a pause. The request it
// answers may, as far as the protocol is concerned, have taken effect.
type RateLimitedError struct {
	After time.Duration // as asked by Retry-After; 0 if it did not say
	Err   error
}

func (e *RateLimitedError) Error() string { return e.Err.Error() }

// Unwrap gives the server's answer.
func (e *RateLimitedError) Unwrap() error { return e.Err }

// DeletedError is the [ErrAbsent] of a record whose newest version was deleted
// or destroyed.
type DeletedError struct {
	Version int   // the newest, which check-and-set compares
	Expired bool  // the store did it by itself (delete_version_after)
	Err     error // says how it was deleted
}

func (e *DeletedError) Error() string { return e.Err.Error() }

// Unwrap gives the store's words, and ErrAbsent.
func (e *DeletedError) Unwrap() []error { return []error{e.Err, ErrAbsent} }
