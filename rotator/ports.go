package rotator

import (
	"context"
	"errors"
	"iter"
	"time"

	"mailu-rotator/crypto"
)

// Document is one tenant's record as the store holds it. Unknown values pass through
// this package unchanged; numbers are json.Number, so that they are kept digit for digit.
type Document struct {
	Version int // KV v2 version; check-and-set compares it
	Fields  map[string]any
	Written time.Time // when the version was stored; zero if the store does not say
	Expires time.Time // when the store deletes the version itself; zero: never
}

// Store is the copy of record. Its methods may be called concurrently. An error that is
// [ErrUnavailable] concerns the store, and any other one the record.
type Store interface {
	// List yields the names of all entries under the prefix, each once and in any
	// order, as they arrive. An error ends it, and the names before it are then not the
	// fleet. An empty or missing prefix is [ErrNoTenants], never an empty list.
	List(ctx context.Context) iter.Seq2[string, error]
	// Read returns the tenant's record, or [ErrAbsent]: a [DeletedError] if earlier
	// versions may still exist.
	Read(ctx context.Context, tenant TenantID) (Document, error)
	// ReadVersion returns an earlier version of the record, or [ErrAbsent] if the
	// history does not have it.
	ReadVersion(ctx context.Context, tenant TenantID, version int) (Document, error)
	// Write stores doc.Fields if the record's version is still doc.Version and returns
	// the new version. [ErrConflict] means that it was not, which also happens when a
	// write took effect before its retry. [ErrForbidden] means that nothing was
	// written. After any other error the write may or may not have happened.
	Write(ctx context.Context, tenant TenantID, doc Document) (int, error)
}

// Keys returns the versions of the master key. The caller must wipe the keyring.
type Keys interface {
	MasterKeys(ctx context.Context) (*crypto.Keyring, error)
}

// Envelope seals and opens passwords; a *crypto.Keyring is the real one.
type Envelope interface {
	// Seal uses the newest key and returns its version.
	Seal(to crypto.Binding, password crypto.Secret) (crypto.SealedPassword, crypto.KeyVersion, error)
	// Open returns an error for a string that was not sealed with this binding; version
	// 0 tries every key.
	Open(version crypto.KeyVersion, from crypto.Binding, sealed crypto.SealedPassword) (crypto.Secret, error)
}

// Mailu finds the server of an origin.
type Mailu interface {
	// Server returns [ErrOriginNotListed] if the configuration does not list the
	// origin: no token may be sent there.
	Server(origin Origin) (Server, error)
	// API names the admin API that receives the requests for an origin's tenants; for an
	// origin that is not listed it is [Origin.Host]. Origins with one API have the same
	// users: a Mailu may have several names.
	API(origin Origin) string
}

// Server is one Mailu server's admin API. Its methods may be called concurrently; a
// server itself limits its concurrent requests, and sends nothing more after its token
// was refused once.
type Server interface {
	// Knows checks that the server can change the user: nil, or the reason why not,
	// classified as by SetPassword. It changes nothing.
	Knows(ctx context.Context, username string) error
	// SetPassword makes password the user's password; doing it twice is harmless. An
	// error is [ErrRefused] only if every request of this call was certainly refused,
	// so that Mailu cannot have the password; see also [ErrServerUnusable] and
	// [RateLimitedError]. After any other error Mailu may have it.
	SetPassword(ctx context.Context, username string, password crypto.Secret) error
	// Verify requests what Mailu holds for the user now. The returned check decides
	// whether that is password; it is nil if the server is configured without
	// verification.
	Verify(ctx context.Context, username string, password crypto.Secret) (*HashCheck, error)
	// Hash requests the same, for a password whose hash is known: it returns the hash,
	// which never goes into an error or a log. It is empty if the server is configured
	// without verification.
	Hash(ctx context.Context, username string) (string, error)
	// PushSlot blocks until the server has a free slot for a push and its verification,
	// of which it has MaxConcurrent, or ctx ends. The caller must call release once.
	PushSlot(ctx context.Context) (release func(), err error)
	// Account is what the latest answer to this value about the user showed, or the
	// zero Account without one. It sends no request.
	Account(username string) Account
	// CanLogin reports whether the server has a mail service that Login may try, as far as
	// the latest answer about the user shows. It sends no request.
	CanLogin(username string) bool
	// Login logs the user in to the server's mail services, as a mail program would. It is
	// only for a password that was just proven: Mailu counts wrong ones. An error is
	// [ErrLoginRefused] if a service refused the password; after any other one it was not
	// tried everywhere.
	Login(ctx context.Context, username string, password crypto.Secret) error
	// MaxConcurrent is the limit of concurrent requests to the server, at least 1.
	MaxConcurrent() int
}

// HashCheck is the part of a verification that needs no server.
type HashCheck struct {
	// Hash is what Mailu showed. A hash that was proven once proves the same password
	// again, see [Credential].Proof.
	Hash string
	// Check costs up to seconds of this host's processor. It is called at most once.
	Check func() (Verification, error)
}

// result runs the check; without a check nothing is proven.
func (h *HashCheck) result() (Verification, error) {
	if h == nil {
		return Unproven, nil
	}
	return h.Check()
}

// Verification is what a server's answer shows about a password.
type Verification int

// The results of a verification.
const (
	Unproven Verification = iota // the server is configured without verification
	Match                        // the server holds the hash of exactly this password
	Mismatch                     // it holds another password's hash
)

// Clock provides the time to the domain, and lets it wait.
type Clock interface {
	Now() time.Time
	// Sleep returns early, with the context's error, when ctx ends.
	Sleep(ctx context.Context, d time.Duration) error
}

// Errors that implementations return and on which the domain branches.
var (
	// ErrNoTenants: there is nothing under the prefix, or no such prefix.
	ErrNoTenants = errors.New("nothing is there")
	// ErrAbsent: the tenant has no record, or its newest version is deleted.
	ErrAbsent = errors.New("no such record")
	// ErrConflict: the record changed since it was read, or an earlier try of the same
	// write took effect.
	ErrConflict = errors.New("the record changed since it was read")
	// ErrForbidden: the store refuses this identity; nothing was changed.
	ErrForbidden = errors.New("permission denied")
	// ErrUnavailable: the store as a whole is sealed, a standby or unreachable, or
	// accepts no login any longer.
	ErrUnavailable = errors.New("the store is not available")
	// ErrMalformed: the record cannot be parsed, and is not changed.
	ErrMalformed = errors.New("malformed record, fix it in Vault")
	// ErrOriginNotListed: the configuration lists no server with the tenant's origin.
	ErrOriginNotListed = errors.New("origin not listed in the configuration")
	// ErrRefused: Mailu certainly refused and changed nothing.
	ErrRefused = errors.New("refused by Mailu")
	// ErrUnknownUser: Mailu has no such user.
	ErrUnknownUser = errors.New("unknown user")
	// ErrNotCreated: the user already exists or the domain is full.
	ErrNotCreated = errors.New("user not created")
	// ErrIntercepted: a device in front of Mailu, such as a firewall, answered in its
	// place. It concerns only this request, until several users in a row get such an
	// answer, and does not show whether Mailu has received the request.
	ErrIntercepted = errors.New("answered by something in front of Mailu")
	// ErrServerUnusable: the token is wrong or the API is off. Nothing more may be sent
	// to this server in this run: five wrong tokens block the sender for an hour.
	ErrServerUnusable = errors.New("server not usable in this run")
	// ErrServerFailed: the server answered with a failure (500), which may concern one
	// user only; the request may have taken effect.
	ErrServerFailed = errors.New("the server failed")
	// ErrLoginRefused: a mail service refused user and password.
	ErrLoginRefused = errors.New("login refused")
	// ErrUnverifiable: the server's answer cannot prove anything, for a reason that a
	// repeated request does not change.
	ErrUnverifiable = errors.New("password cannot be verified")
)

// RateLimitedError is returned when a server asks for a pause. For the protocol, the
// request that it answers may have taken effect.
type RateLimitedError struct {
	After time.Duration // as asked by Retry-After; 0 if it did not say
	Err   error
}

func (e *RateLimitedError) Error() string { return e.Err.Error() }

// Unwrap returns the server's answer.
func (e *RateLimitedError) Unwrap() error { return e.Err }

// DeletedError is the [ErrAbsent] of a record whose newest version was deleted or
// destroyed.
type DeletedError struct {
	Version int   // the newest, which check-and-set compares
	Expired bool  // the store deleted it itself (delete_version_after)
	Err     error // says how it was deleted
}

func (e *DeletedError) Error() string { return e.Err.Error() }

// Unwrap returns the store's error, and ErrAbsent.
func (e *DeletedError) Unwrap() []error { return []error{e.Err, ErrAbsent} }
