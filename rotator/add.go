package rotator

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"mailu-rotator/crypto"
)

// Registry makes what [Store] and [Server] only ever change. It is apart from
// them so that nothing but an addition can make a record or a user.
type Registry interface {
	// CreateRecord stores fields as the first version of the tenant's record and
	// returns its number. Its errors are those of [Store].Write; [ErrConflict]
	// means that there is a record, or was one whose history is still there.
	CreateRecord(ctx context.Context, tenant TenantID, fields map[string]any) (int, error)
	// CanCreateUser asks whether CreateUser would make the user: nil, or the reason
	// why not, classed as by [Server].Knows. It changes nothing.
	CanCreateUser(ctx context.Context, origin Origin, username string) error
	// CreateUser makes a user with the password. Its errors are classed as by
	// [Server].SetPassword, and see [ErrNotCreated].
	CreateUser(ctx context.Context, origin Origin, username string, password crypto.Secret) error
}

// errBeingAdded ends what is said of an addition that somebody has to see to.
var errBeingAdded = errors.New("the tenant is still being added: mend the cause and run the same `mailu-rotator tenant add` again, or give it up with `vault kv metadata delete`")

// errTaken: the id was nobody's when the fleet was read.
var errTaken = errors.New("the record of this id names another user by now: run the same command again")

// Add makes c's tenant: its record, which names no current password yet but a
// pending one, then that password in Mailu, then the commit. It is the rotation
// protocol, on a store where an absent record is one to be written and a Mailu
// where an unknown user is one to be created. An addition that was left
// half-finished goes on with the password that it left.
func (r *Rotator) Add(ctx context.Context, registry Registry, c Credential) Result {
	adder := *r
	adder.Store = newRecord{Store: r.Store, registry: registry, blank: c.fields}
	now, err := adder.read(ctx, c.Tenant)
	switch {
	case isWithdrawn(err):
		return Result{Credential: c, Outcome: Invalid, Err: err}
	case err != nil:
		return Result{Credential: c, Outcome: Failed, Err: err}
	case !r.sameUser(now, c): // somebody was quicker
		return Result{Credential: c, Outcome: Failed, Err: errTaken}
	}
	user := &newUser{registry: registry, origin: now.Origin}
	adder.Mailu = newUsers{Mailu: r.Mailu, user: user}
	if action, reason := judgeAddition(now); action == Leave {
		return Result{Credential: now, Outcome: Fresh, Reason: reason}
	}
	result := adder.Rotate(ctx, now, judgeAddition, true)
	if result.Outcome == Ignored { // it is withdrawn, since another tenant has the user
		result.Outcome = Invalid
	}
	if result.Outcome == Fresh { // somebody else added it meanwhile
		_, result.Reason = judgeAddition(result.Credential)
		result.Err = nil
	}
	if result.Outcome == Rotated || result.Outcome == Finished {
		result.Outcome, result.Reason = Added, strings.TrimSuffix(user.story()+"; "+result.Reason, "; ")
		if name := user.fate.event(); name != "" {
			r.Observe.observe(Event{Name: name, Tenant: string(c.Tenant), Origin: c.Origin, Rotation: result.Rotation})
		}
	}
	return result
}

// judgeAddition decides about a tenant that is to be added.
func judgeAddition(c Credential) (Action, string) {
	switch {
	case !c.BeingAdded():
		return Leave, "is a tenant already"
	case c.Pending != nil:
		return Finish, c.halfFinished()
	}
	return Rotate, "to be added"
}

// newRecord is a store in which one tenant's record may be missing: it then
// reads as the blank one, version 0, and is made by the first write.
type newRecord struct {
	Store
	registry Registry
	blank    map[string]any
}

func (s newRecord) Read(ctx context.Context, tenant TenantID) (Document, error) {
	doc, err := s.Store.Read(ctx, tenant)
	var deleted *DeletedError
	if errors.Is(err, ErrAbsent) && !errors.As(err, &deleted) {
		return Document{Fields: s.blank}, nil
	}
	return doc, err
}

func (s newRecord) Write(ctx context.Context, tenant TenantID, doc Document) (int, error) {
	if doc.Version == 0 {
		return s.registry.CreateRecord(ctx, tenant, doc.Fields)
	}
	return s.Store.Write(ctx, tenant, doc)
}

// newUsers is a Mailu on which one user may be missing.
type newUsers struct {
	Mailu
	user *newUser
}

func (m newUsers) Server(origin Origin) (Server, error) {
	server, err := m.Mailu.Server(origin)
	if err != nil {
		return nil, err
	}
	m.user.Server = server
	return m.user, nil
}

// newUser is the server of one user, who may be missing on it: then it holds no
// password, and a push makes the user. It remembers what the last question told,
// so that a push is one request under one claim.
type newUser struct {
	Server
	registry Registry
	origin   Origin
	missing  bool
	fate     userFate
	demanded bool // the user was to choose another password at the next login
}

// story is what became of the user.
func (u *newUser) story() string {
	if u.demanded && u.fate == userTaken {
		return u.fate.reason() + ", who need not change the password at the next login any more"
	}
	return u.fate.reason()
}

func (u *newUser) Knows(ctx context.Context, username string) error {
	err := u.Server.Knows(ctx, username)
	if u.missing = errors.Is(err, ErrUnknownUser); u.missing {
		return u.registry.CanCreateUser(ctx, u.origin, username)
	}
	return err
}

// Proof asks a server for the user, at least, that is not to be asked for hashes.
func (u *newUser) Proof(ctx context.Context, username string, password crypto.Secret) (HashCheck, error) {
	check, err := u.Server.Proof(ctx, username, password)
	if err != nil {
		proof, err := u.unlessMissing(Unproven, err)
		return func() (Proof, error) { return proof, nil }, err
	}
	return func() (Proof, error) {
		proof, err := check.proof()
		if err == nil && proof == Unproven {
			err = u.Server.Knows(ctx, username)
		}
		return u.unlessMissing(proof, err)
	}, nil
}

// unlessMissing: a user who is not there holds no password.
func (u *newUser) unlessMissing(proof Proof, err error) (Proof, error) {
	if u.missing = errors.Is(err, ErrUnknownUser); u.missing {
		return NotHeld, nil
	}
	return proof, err
}

// errThereNow: somebody made the user between the question and the push, or a
// creation did whose answer was lost. The next attempt finds it.
var errThereNow = errors.New("the user is there by now")

func (u *newUser) SetPassword(ctx context.Context, username string, password crypto.Secret) error {
	if !u.missing {
		u.demanded = u.demanded || u.Server.Account(username).ChangeAtLogin
		err := u.Server.SetPassword(ctx, username, password)
		u.fate.push(userTaken, err)
		return err
	}
	err := u.registry.CreateUser(ctx, u.origin, username, password)
	u.fate.push(userMade, err)
	if errors.Is(err, ErrNotCreated) && u.Server.Knows(ctx, username) == nil {
		return fmt.Errorf("%w: %v", errThereNow, err) //nolint:errorlint // which is no refusal any more
	}
	return err
}

// userFate is what became of the user in Mailu: the first of these that may
// have had an effect.
type userFate int

const (
	userFound userFate = iota // with the password already, by an earlier run
	userMade
	userTaken
)

func (f *userFate) push(what userFate, err error) {
	if *f == userFound && !errors.Is(err, ErrRefused) {
		*f = what
	}
}

func (f userFate) reason() string {
	switch f {
	case userMade:
		return "created the user in Mailu"
	case userTaken:
		return "took over the user in Mailu"
	}
	return "finished what an earlier run began"
}

func (f userFate) event() EventName {
	switch f {
	case userMade:
		return UserCreated
	case userTaken:
		return UserTakenOver
	}
	return ""
}

// letGo ends an attempt of an addition that Mailu refused for certain. Without
// its pending password the record would have none at all, so that it stays; only
// the claim goes, so that the next run need not wait for its end.
func (r *rotation) letGo(ctx context.Context, refusal error) (Outcome, error) {
	refusal = r.whileAdded(refusal)
	lapsed := r.lapsed(r.cred.Pending)
	err := r.write(ctx, change{
		apply: func(c *Credential) error {
			if !c.holdsPending(r.next) || c.Pending.Claim.Owner != r.Owner {
				return errOvertaken
			}
			c.Pending = lapsed
			return nil
		},
		landed: func(c Credential) bool { return !c.holdsPending(r.next) || c.Pending.Claim == lapsed.Claim },
	})
	if err != nil && !errors.Is(err, errOvertaken) {
		return Unfinished, errors.Join(refusal, fmt.Errorf("let go of the claim: %w", err))
	}
	return Unfinished, refusal
}

// whileAdded says what to do about an addition that does not come to its end.
func (r *rotation) whileAdded(err error) error {
	if !r.cred.BeingAdded() {
		return err
	}
	return fmt.Errorf("%w; %w", err, errBeingAdded)
}
