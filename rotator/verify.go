package rotator

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// State is the result of a verification. The strings are part of the JSON report.
type State string

// The states.
const (
	StateOK          State = "ok"           // Mailu accepts the current password of Vault
	StateDrift       State = "drift"        // Mailu accepts no password that Vault's record holds
	StatePending     State = "pending"      // a rotation is running or half-finished
	StateUnreadable  State = "unreadable"   // the record is deleted, malformed, or its password does not open
	StateUnreachable State = "unreachable"  // Vault or Mailu did not answer, so nothing is known
	StateUnknownUser State = "unknown user" // Mailu has no such user
	// A real login failed, although Mailu holds the password of Vault.
	StateLoginRefused     State = "login refused"      // the mail service does not accept it
	StateLoginNotPossible State = "login not possible" // the mail service could not be asked
	StateUnproven         State = "unproven"           // nothing can be proven: the server is configured not to be asked (verify: none), or its hash is of another kind
	StateIgnored          State = "ignored"            // not a tenant
)

// States returns all of them, in the order of a summary.
func States() []State {
	return []State{StateOK, StatePending, StateDrift, StateLoginRefused, StateLoginNotPossible, StateUnreadable, StateUnreachable, StateUnknownUser, StateUnproven, StateIgnored}
}

// OfLogin reports whether the state is about a real login. The password is right then.
func (s State) OfLogin() bool { return s == StateLoginRefused || s == StateLoginNotPossible }

// Problem reports whether the state itself needs attention; [Finding.Problem] knows more.
func (s State) Problem() bool {
	return slices.Contains([]State{StateDrift, StateLoginRefused, StateLoginNotPossible, StateUnreadable, StateUnreachable, StateUnknownUser}, s)
}

// Finding is the verification's result for one tenant. The tags are those of the JSON
// report.
type Finding struct {
	Tenant   string `json:"tenant"` // as listed
	User     string `json:"user,omitempty"`
	Origin   Origin `json:"origin,omitempty"`
	State    State  `json:"state"`    // after the repair, if there was one
	Repaired bool   `json:"repaired"` // a repair changed the state
	UnderWay bool   `json:"-"`        // with StatePending: another process has a valid claim
	// Unprovable, with StateUnproven: Mailu was asked, but its hash cannot be checked
	// against any password. It may be another one's.
	Unprovable bool `json:"-"`
	// Vanishing: the record deletes itself before a rotation would rewrite it.
	Vanishing bool   `json:"-"`
	Reason    string `json:"reason,omitempty"` // for people; empty if the state needs no explanation
}

// Problem reports whether the tenant needs attention, and the exit status is 2. A pending
// rotation does so only without a valid claim, an unproven password only if the server was
// asked, and any state if the record deletes itself.
func (f Finding) Problem() bool {
	return f.State.Problem() || f.State == StatePending && !f.UnderWay || f.State == StateUnproven && f.Unprovable || f.Vanishing
}

// ProblemError is the reason of a finding that needs attention; nil for any other.
func (f Finding) ProblemError() error {
	if !f.Problem() {
		return nil
	}
	return errors.New(f.Reason)
}

// Repairable reports whether a repair may help.
func (f Finding) Repairable() bool {
	switch f.State {
	case StateDrift, StateUnreadable:
		return true
	case StatePending:
		return !f.UnderWay
	case StateUnproven:
		return f.Unprovable
	}
	return false
}

// Verify asks whether Mailu accepts what Vault holds for the tenant. It writes nothing.
// It checks again if the record changed between its reading and Mailu's answer: a
// rotation that another process finished in between would look like drift. It returns
// the record that the finding concerns.
//
// A password that was proven before, and whose hash Mailu still shows, is proven without
// a key derivation and a bcrypt, unless full is set.
func (r *Rotator) Verify(ctx context.Context, c Candidate, full bool) (Finding, Candidate) {
	f := r.examine(ctx, c, full)
	if !f.Problem() || f.State == StateUnreachable || c.Err != nil {
		return f, c
	}
	fresh := ReadCandidate(ctx, r.Store, r.Mailu, r.DefaultPolicy, c.Name)
	if fresh.Err != nil || fresh.Credential.Version == c.Credential.Version {
		return f, c
	}
	return r.examine(ctx, fresh, full), fresh
}

// NewFinding is the finding about a candidate that was not examined yet.
func NewFinding(c Candidate) Finding {
	return Finding{Tenant: c.Name, User: c.Credential.Username, Origin: c.Credential.Origin}
}

func (r *Rotator) examine(ctx context.Context, c Candidate, full bool) Finding {
	f := NewFinding(c)
	switch {
	case c.Ignored:
		f.State, f.Reason = StateIgnored, c.whyIgnored()
	case isAny(c.Err, ErrAbsent, ErrMalformed):
		f.State, f.Reason = StateUnreadable, c.Err.Error()
	case c.Err != nil:
		f.State, f.Reason = StateUnreachable, c.Err.Error()
	case c.Unlisted != nil:
		f.State, f.Reason = StateUnreachable, c.Unlisted.Error()
	default:
		x, _ := r.begin(c.Credential, false) // its server is listed
		x.full = full
		x.examine(ctx, &f)
	}
	f.expires(c.Credential, r.Clock.Now())
	return f
}

// expires adds that the record deletes itself, if it does.
func (f *Finding) expires(c Credential, now time.Time) {
	f.Vanishing = c.vanishes(now)
	f.Reason = joined(f.Reason, expiry(c.Expires))
}

// examine asks Mailu and sets the state and reason of f. For a tenant that is being
// added Mailu may hold a password that Vault has never known.
func (r *rotation) examine(ctx context.Context, f *Finding) {
	pending := r.cred.Pending
	asked, match, improper, err := r.askBoth(ctx)
	switch {
	case errors.Is(err, ErrUnknownUser):
		f.State, f.Reason = StateUnknownUser, r.whileAdded(err).Error()
	case errors.Is(err, errUnreadable):
		f.State, f.Reason = StateUnreadable, r.explain(ctx, asked, err).Error()
	case err != nil && !provesNothing(err):
		f.State, f.Reason = StateUnreachable, err.Error()
	case pending != nil && err == nil && match == Mismatch && !r.cred.BeingAdded():
		f.State, f.Reason = StateDrift, "Mailu holds neither the current nor the pending password"
	case pending != nil && pending.Claim.Live(r.Clock.Now()):
		f.State, f.UnderWay, f.Reason = StatePending, true, rotationUnderWay(pending.Claim)
	case pending != nil:
		f.State, f.Reason = StatePending, r.cred.HalfFinished()
	case err != nil:
		f.State, f.Unprovable, f.Reason = StateUnproven, true, err.Error()
	case match == Unproven:
		f.State, f.Reason = StateUnproven, "verify is none for this server"
	case match == Mismatch && improper != nil:
		f.State, f.Reason = StateDrift, fmt.Sprintf("Mailu holds another password than Vault's; %v, so it is never pushed: --run-now --tenant makes a new one", improper)
	case match == Mismatch:
		f.State, f.Reason = StateDrift, "Mailu holds another password than Vault's"
	case improper != nil:
		f.State, f.Reason = StateOK, fmt.Sprintf("%v, which a login form or a mail client may not send: --run-now --tenant makes a new one", improper)
	default:
		f.State = StateOK
	}
	switch f.State {
	case StateOK:
		f.Reason = r.withRemark(f.Reason)
		f.withLogin(r.tryLogin(ctx))
	case StateDrift, StatePending, StateUnproven:
		f.Reason = joined(f.Reason, r.remark()) // a problem has its own event
	}
}

// withLogin makes a failed login a state of its own. No repair helps against it.
func (f *Finding) withLogin(state LoginState, err error) {
	switch state {
	case LoginRefused:
		f.State = StateLoginRefused
	case LoginNotPossible:
		f.State = StateLoginNotPossible
	}
	if err != nil {
		f.Reason = joined(err.Error(), f.Reason)
	}
}

// askBoth asks Mailu about the current password, and about the pending one if it does
// not hold that. It returns which it asked about last, and the answer. improper says why
// the current one cannot be one of ours.
func (r *rotation) askBoth(ctx context.Context) (asked *Pending, match Verification, improper, err error) {
	match = Mismatch
	if asked = r.cred.current(); asked != nil {
		if match, err = r.stillProven(ctx); match == Match || err != nil {
			return asked, match, nil, err
		}
		match, improper, err = r.proves(ctx, asked)
	}
	lost := errors.Is(err, errUnreadable)
	if r.cred.Pending == nil || !lost && (err != nil || match != Mismatch) {
		return asked, match, improper, err
	}
	pendingMatch, _, pendingErr := r.proves(ctx, r.cred.Pending)
	if lost && (pendingErr != nil || pendingMatch != Match) {
		return asked, match, improper, err // an error about the current one comes first
	}
	return r.cred.Pending, pendingMatch, improper, pendingErr
}

// proof recognizes the current password together with the hash that Mailu showed when it
// was proven to hold that password:
//
//	base64(SHA-256(sealed password, hash, tenant id, last_rotated, key_version)), joined by newlines
//
// bcrypt is deterministic: the same hash string belongs to the same password. The last
// three are what the sealed string opens with: after an edit of one of them it opens no
// more, although neither it nor the hash has changed.
func (c Credential) proof(hash string) string {
	fields := []string{string(c.Password), hash, string(c.Tenant), c.LastRotated, strconv.Itoa(int(c.KeyVersion))}
	sum := sha256.Sum256([]byte(strings.Join(fields, "\n")))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// stillProven returns Match if Mailu shows the hash that the record's proof recognizes. If
// it shows another one, which may be of the same password, the result is Unproven.
func (r *rotation) stillProven(ctx context.Context) (Verification, error) {
	if r.full || r.cred.Proof == "" {
		return Unproven, nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.ClaimTTL)
	defer cancel()
	hash, err := r.server.Hash(ctx, r.cred.Username)
	if err == nil && hash != "" && r.cred.Proof == r.cred.proof(hash) {
		return Match, nil
	}
	return Unproven, err
}

// Account holds settings that keep a user from logging in with the right password, as a
// server reported them. The zero Account means no known restriction.
type Account struct {
	Disabled      bool // no login at all
	NoIMAP        bool // no login by mail programs or the webmail
	ChangeAtLogin bool // the web interface requires the user to choose another password
}

// remark describes restrictions of the account; empty without any.
func (a Account) remark() string {
	var remarks []string
	if a.Disabled {
		remarks = append(remarks, "the user is disabled in Mailu: nobody can log in")
	}
	if a.NoIMAP {
		remarks = append(remarks, "IMAP is off for the user in Mailu: no mail can be read")
	}
	if a.ChangeAtLogin {
		remarks = append(remarks, "Mailu asks for a new password at the next web login: rotate this tenant, which ends that")
	}
	return strings.Join(remarks, "; ")
}

// withRemark adds the account's restrictions to a reason, which may be empty.
func (r *rotation) withRemark(reason string) string {
	text := r.remark()
	if text != "" {
		r.note(AccountRestricted, errors.New(text))
	}
	return joined(reason, text)
}

func (r *rotation) remark() string { return r.server.Account(r.cred.Username).remark() }

// joined is one reason from several, of which some may be empty.
func joined(reasons ...string) string {
	return strings.Join(slices.DeleteFunc(reasons, func(s string) bool { return s == "" }), "; ")
}
