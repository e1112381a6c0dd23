package rotator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mailu-rotator/crypto"
)

// Creator creates what [Store] and [Server] can only change, for additions alone.
type Creator interface {
	// CreateRecord stores fields as the first version of the tenant's record and
	// returns its number. Its errors are those of [Store].Write; [ErrConflict] means
	// that there is a record, or a deleted one whose history still exists.
	CreateRecord(ctx context.Context, tenant TenantID, fields map[string]any) (int, error)
	// CanCreateUser checks whether CreateUser would create the user: nil, or the reason
	// why not, classified as by [Server].Knows. It changes nothing.
	CanCreateUser(ctx context.Context, origin Origin, username string) error
	// CreateUser creates a user with the password. Its errors are classified as by
	// [Server].SetPassword, and see [ErrNotCreated].
	CreateUser(ctx context.Context, origin Origin, username string, password crypto.Secret) error
}

// NewCredential is a new tenant's record, without the pending password. policy "" writes
// none, and the default applies. It fails as [ParseCredential] does.
func NewCredential(tenant TenantID, user, webmailURL, policy string, now time.Time, defaultPolicy Policy) (Credential, error) {
	fields := map[string]any{FieldUsername: user, fieldWebmailURL: webmailURL, fieldCreatedAt: FormatTime(now)}
	if policy != "" {
		fields[FieldPolicy] = policy
	}
	return parseFields(tenant, Document{Fields: fields}, defaultPolicy)
}

// AlreadyTenant says that the tenant exists, and what differs from the request.
func (c Credential) AlreadyTenant(asked Credential) string {
	var differs []string
	for _, field := range []string{fieldWebmailURL, FieldPolicy} {
		is := c.fields[field]
		if is == nil {
			is = "not set"
		}
		if want, given := asked.fields[field]; given && want != is {
			differs = append(differs, fmt.Sprintf("%s is %v", field, is))
		}
	}
	if len(differs) == 0 {
		return "is a tenant already"
	}
	return "is a tenant already, and left as it is: " + strings.Join(differs, ", ")
}

// Add adds c's tenant: its record, which has a pending password and no current one,
// then that password in Mailu, then the commit. It is the rotation protocol, on a store
// where an absent record can be written and a Mailu where an unknown user can be
// created. A half-finished addition continues with its pending password.
func (r *Rotator) Add(ctx context.Context, creator Creator, c Credential) Result {
	adder := *r
	adder.Store = newRecord{Store: r.Store, creator: creator, blank: c.fields}
	now, err := adder.read(ctx, c.Tenant)
	switch {
	case IsWithdrawn(err):
		return Result{Credential: c, Outcome: Invalid, Err: err}
	case err != nil:
		return Result{Credential: c, Outcome: Failed, Err: err}
	case !r.sameUser(now, c): // another process was faster
		return Result{Credential: c, Outcome: Failed, Err: errors.New("the record of this id names another user by now: run the same command again")}
	}
	if action, reason := judgeAddition(now); action == Leave {
		return Result{Credential: now, Outcome: Fresh, Reason: reason}
	}
	x, err := adder.begin(now, true)
	if err != nil {
		return Result{Credential: now, Outcome: Failed, Err: err}
	}
	user := &newUser{Server: x.server, creator: creator, origin: now.Origin}
	x.server = user
	result := x.run(ctx, judgeAddition)
	switch result.Outcome {
	case Ignored: // it was withdrawn, since another tenant has the user
		result.Outcome = Invalid
	case Fresh: // another process has added it in between
		_, result.Reason = judgeAddition(result.Credential)
		result.Err = nil
	case Rotated, Finished:
		result.Outcome, result.Reason = Added, joined(user.story(), result.Reason)
		if user.fate != "" {
			r.Observe.Notify(Event{Name: user.fate, Tenant: string(c.Tenant), User: c.Username, Origin: c.Origin, Rotation: result.Rotation})
		}
	}
	return result
}

// judgeAddition decides about a tenant to add.
func judgeAddition(c Credential) (Action, string) {
	switch {
	case !c.BeingAdded():
		return Leave, "is a tenant already"
	case c.Pending != nil:
		return Finish, c.HalfFinished()
	}
	return Rotate, "to be added"
}

// newRecord is a store in which one tenant's record may be missing: it then reads as
// the blank one, version 0, and the first write creates it.
type newRecord struct {
	Store
	creator Creator
	blank   map[string]any
}

func (s newRecord) Read(ctx context.Context, tenant TenantID) (Document, error) {
	doc, err := s.Store.Read(ctx, tenant)
	if _, deleted := errors.AsType[*DeletedError](err); errors.Is(err, ErrAbsent) && !deleted {
		return Document{Fields: s.blank}, nil
	}
	return doc, err
}

func (s newRecord) Write(ctx context.Context, tenant TenantID, doc Document) (int, error) {
	if doc.Version == 0 {
		return s.creator.CreateRecord(ctx, tenant, doc.Fields)
	}
	return s.Store.Write(ctx, tenant, doc)
}

// newUser is the server of one user, who may be missing on it: then it holds no
// password, and a push creates the user. It remembers the last answer about the user,
// so that a push is one request under one claim.
type newUser struct {
	Server
	creator  Creator
	origin   Origin
	missing  bool
	fate     EventName // the first push that may have had an effect; "": it already had the password, from an earlier run
	demanded bool      // the user had to choose another password at the next login
}

// story says what happened to the user.
func (u *newUser) story() string {
	switch {
	case u.fate == UserCreated:
		return "created the user in Mailu"
	case u.fate == UserTakenOver && u.demanded:
		return "took over the user in Mailu, who need not change the password at the next login any more"
	case u.fate == UserTakenOver:
		return "took over the user in Mailu"
	}
	return "finished what an earlier run began"
}

func (u *newUser) Knows(ctx context.Context, username string) error {
	err := u.Server.Knows(ctx, username)
	if u.missing = errors.Is(err, ErrUnknownUser); u.missing {
		return u.creator.CanCreateUser(ctx, u.origin, username)
	}
	return err
}

// Verify looks up the user also without verification; a missing one holds no password.
func (u *newUser) Verify(ctx context.Context, username string, password crypto.Secret) (*HashCheck, error) {
	check, err := u.Server.Verify(ctx, username, password)
	var hash string
	if check != nil {
		hash = check.Hash
	}
	return &HashCheck{Hash: hash, Check: func() (match Verification, _ error) {
		if err == nil {
			match, err = check.result()
		}
		if err == nil && match == Unproven {
			err = u.Server.Knows(ctx, username)
		}
		if u.missing = errors.Is(err, ErrUnknownUser); u.missing {
			return Mismatch, nil
		}
		return match, err
	}}, nil
}

// errThereNow: another process created the user between the lookup and the push, or a
// creation whose answer was lost did. The next attempt finds it.
var errThereNow = errors.New("the user is there by now")

func (u *newUser) SetPassword(ctx context.Context, username string, password crypto.Secret) error {
	if !u.missing {
		u.demanded = u.demanded || u.Server.Account(username).ChangeAtLogin
		err := u.Server.SetPassword(ctx, username, password)
		u.pushed(UserTakenOver, err)
		return err
	}
	err := u.creator.CreateUser(ctx, u.origin, username, password)
	u.pushed(UserCreated, err)
	if errors.Is(err, ErrNotCreated) && u.Server.Knows(ctx, username) == nil {
		return fmt.Errorf("%w: %v", errThereNow, err) //nolint:errorlint // no longer a refusal
	}
	return err
}

func (u *newUser) pushed(fate EventName, err error) {
	if u.fate == "" && !errors.Is(err, ErrRefused) {
		u.fate = fate
	}
}

// whileAdded adds the next action for an addition that does not finish.
func (r *rotation) whileAdded(err error) error {
	if !r.cred.BeingAdded() {
		return err
	}
	return fmt.Errorf("%w; the tenant is still being added: fix the cause and run the same `mailu-rotator tenant add` again, or give it up with `vault kv metadata delete`", err)
}

// ToBeAdded is the reason for an addition about whose user Mailu was not asked.
const ToBeAdded = "to be added; its user in Mailu is taken over, or created"

// UserPlan is what an addition will do with its user in Mailu.
type UserPlan string

// What a user's plan can be.
const (
	UserToBeTakenOver UserPlan = "taken over" // its password is replaced
	UserToBeCreated   UserPlan = "created"
	UserToBeResumed   UserPlan = "resumed" // Mailu has it, perhaps by the half-finished addition itself
)

// UserPlans returns all of them, in the order of a summary.
func UserPlans() []UserPlan {
	return []UserPlan{UserToBeTakenOver, UserToBeCreated, UserToBeResumed}
}

// ForeseeUser returns what an addition will do with its user, and the reason of its plan
// with that, or why Mailu refuses the user. planned is the reason so far.
func ForeseeUser(ctx context.Context, server Server, creator Creator, c Credential, planned string) (plan UserPlan, reason string, err error) {
	user := &newUser{Server: server, creator: creator, origin: c.Origin}
	if err := user.Knows(ctx, c.Username); err != nil {
		return "", "", err
	}
	switch {
	case user.missing && planned == ToBeAdded:
		return UserToBeCreated, "to be added; its user in Mailu is created", nil
	case user.missing:
		return UserToBeCreated, planned + "; its user in Mailu is created", nil
	case planned == ToBeAdded:
		plan, reason = UserToBeTakenOver, "to be added; its user in Mailu is taken over, and its password is replaced"
	default: // it may already have the pending password
		plan, reason = UserToBeResumed, planned+"; Mailu has its user"
	}
	account := server.Account(c.Username)
	account.ChangeAtLogin = false // an addition clears that
	return plan, joined(reason, account.remark()), nil
}
