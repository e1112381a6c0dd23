package rotator

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	StateUnproven    State = "unproven"     // nothing can be proven: the server is configured not to be asked (verify: none), or its hash is of another kind
	StateIgnored     State = "ignored"      // not a tenant
)

// States returns all of them, in the order of a summary.
func States() []State {
	return []State{StateOK, StatePending, StateDrift, StateUnreadable, StateUnreachable, StateUnknownUser, StateUnproven, StateIgnored}
}

// Problem reports whether the tenant needs attention: such findings make the exit
// status 2. A pending rotation is a problem only without a valid claim, an unproven
// password only if the server was asked, and any state if the record deletes itself,
// which the finding shows.
func (s State) Problem() bool {
	switch s {
	case StateDrift, StateUnreadable, StateUnreachable, StateUnknownUser:
		return true
	}
	return false
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

// Problem reports whether the tenant needs attention.
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

// Repairable reports whether a repair may help. A malformed record cannot be restored
// from its history.
func (f Finding) Repairable(c Candidate) bool {
	switch f.State {
	case StateDrift:
		return true
	case StatePending:
		return !f.UnderWay
	case StateUnproven:
		return f.Unprovable
	case StateUnreadable:
		return c.Err == nil || errors.Is(c.Err, ErrAbsent)
	}
	return false
}

// Verify asks whether Mailu accepts what Vault holds for the tenant. It writes nothing.
// It checks again if the record changed between its reading and Mailu's answer: a
// rotation that another process finished in between would look like drift. It returns
// the record that the finding concerns.
func (r *Rotator) Verify(ctx context.Context, c Candidate) (Finding, Candidate) {
	f := NewFinding(c)
	r.examine(ctx, c, &f)
	if !f.Problem() || f.State == StateUnreachable || c.Err != nil {
		return f, c
	}
	fresh := ReadCandidate(ctx, r.Store, r.Mailu, r.DefaultPolicy, c.Name)
	if fresh.Err != nil || fresh.Credential.Version == c.Credential.Version {
		return f, c
	}
	f = NewFinding(fresh)
	r.examine(ctx, fresh, &f)
	return f, fresh
}

// NewFinding is the finding about a candidate that was not examined yet.
func NewFinding(c Candidate) Finding {
	return Finding{Tenant: c.Name, User: c.Credential.Username, Origin: c.Credential.Origin}
}

// examine asks Mailu about the current password, then about the pending one, and stores
// the result in f. For a tenant that is being added Mailu may hold one that Vault has
// never known.
func (r *Rotator) examine(ctx context.Context, c Candidate, f *Finding) {
	f.State, f.Reason = unasked(c)
	if f.State == "" {
		x, _ := r.begin(c.Credential, false) // unasked has checked its server
		x.judgeAnswers(ctx, x.askBoth(ctx), f)
	}
	f.expires(c.Credential, r.Clock.Now())
}

// expires adds that the record deletes itself, if it does.
func (f *Finding) expires(c Credential, now time.Time) {
	f.Vanishing = c.vanishes(now)
	f.Reason = joined(f.Reason, expiry(c.Expires))
}

// unasked is the state of a candidate about which Mailu is not asked; "" for any other.
func unasked(c Candidate) (State, string) {
	switch {
	case c.Ignored:
		return StateIgnored, c.whyIgnored()
	case c.Err != nil && (errors.Is(c.Err, ErrAbsent) || errors.Is(c.Err, ErrMalformed)):
		return StateUnreadable, c.Err.Error()
	case c.Err != nil:
		return StateUnreachable, c.Err.Error()
	case c.Unlisted != nil:
		return StateUnreachable, c.Unlisted.Error()
	}
	return "", ""
}

// answers are Mailu's results for the passwords of a record.
type answers struct {
	match    Verification // of the current password, or of the pending one if that was asked about
	neither  bool         // both were asked about, and neither is held
	improper error        // why the current one cannot be one of ours
	asked    *Pending
	err      error // of the last request
}

func (r *rotation) askBoth(ctx context.Context) (a answers) {
	a.match = Mismatch
	if a.asked = r.cred.current(); a.asked != nil {
		a.match, a.improper, a.err = r.proves(ctx, a.asked)
	}
	lost := errors.Is(a.err, errUnreadable)
	if r.cred.Pending == nil || !lost && (a.err != nil || a.match != Mismatch) {
		return a
	}
	match, _, err := r.proves(ctx, r.cred.Pending)
	if lost && (err != nil || match != Match) {
		return a // an error about the current one comes first
	}
	a.asked, a.match, a.err = r.cred.Pending, match, err
	a.neither = err == nil && match == Mismatch && !r.cred.BeingAdded()
	return a
}

func (r *rotation) judgeAnswers(ctx context.Context, a answers, f *Finding) {
	pending := r.cred.Pending
	switch {
	case errors.Is(a.err, ErrUnknownUser):
		f.State, f.Reason = StateUnknownUser, r.whileAdded(a.err).Error()
	case errors.Is(a.err, errUnreadable):
		f.State, f.Reason = StateUnreadable, r.explain(ctx, a.asked, a.err).Error()
	case a.err != nil && !provesNothing(a.err):
		f.State, f.Reason = StateUnreachable, a.err.Error()
	case a.neither:
		f.State, f.Reason = StateDrift, "Mailu holds neither the current nor the pending password"
	case pending != nil && pending.Claim.Live(r.Clock.Now()):
		f.State, f.UnderWay, f.Reason = StatePending, true, rotationUnderWay(pending.Claim)
	case pending != nil:
		f.State, f.Reason = StatePending, r.cred.HalfFinished()
	case a.err != nil:
		f.State, f.Unprovable, f.Reason = StateUnproven, true, a.err.Error()
	case a.match == Unproven:
		f.State, f.Reason = StateUnproven, "verify is none for this server"
	case a.match == Mismatch && a.improper != nil:
		f.State, f.Reason = StateDrift, fmt.Sprintf("Mailu holds another password than Vault's; %v, so it is never pushed: --run-now --tenant makes a new one", a.improper)
	case a.match == Mismatch:
		f.State, f.Reason = StateDrift, "Mailu holds another password than Vault's"
	case a.improper != nil:
		f.State, f.Reason = StateOK, fmt.Sprintf("%v, which a login form or a mail client may not send: --run-now --tenant makes a new one", a.improper)
	default:
		f.State = StateOK
	}
	switch f.State {
	case StateOK:
		f.Reason = r.withRemark(f.Reason)
	case StateDrift, StatePending, StateUnproven:
		f.Reason = joined(f.Reason, r.remark()) // a problem has its own event
	}
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
