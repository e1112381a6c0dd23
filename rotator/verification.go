package rotator

import (
	"context"
	"errors"
	"fmt"
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

// Finding is the verification's result for one tenant.
type Finding struct {
	Tenant   string // as listed
	User     string
	Origin   Origin
	State    State // after the repair, if there was one
	Repaired bool  // a repair changed the state
	UnderWay bool  // with StatePending: another process has a valid claim
	// Unprovable, with StateUnproven: Mailu was asked, but its hash cannot be checked
	// against any password. It may be another one's.
	Unprovable bool
	// Vanishing: the record deletes itself before a rotation would rewrite it.
	Vanishing bool
	Reason    string // for people; empty if the state needs no explanation
}

// Problem reports whether the tenant needs attention.
func (f Finding) Problem() bool {
	return f.State.Problem() || f.State == StatePending && !f.UnderWay || f.State == StateUnproven && f.Unprovable || f.Vanishing
}

// VerifyReport is the result of one run of Verify.
type VerifyReport struct {
	Started  time.Time
	Finished time.Time
	Findings []Finding // in the order of the list
}

// Problems is the number of findings that need attention.
func (v VerifyReport) Problems() int {
	n := 0
	for _, f := range v.Findings {
		if f.Problem() {
			n++
		}
	}
	return n
}

// Count is the number of findings with the state.
func (v VerifyReport) Count(s State) int {
	n := 0
	for _, f := range v.Findings {
		if f.State == s {
			n++
		}
	}
	return n
}

// Verify asks, for every selected tenant, whether Mailu accepts what Vault holds.
// Without repair it writes nothing. With repair it finishes a half-finished rotation,
// makes a password current again that Mailu holds and only Vault's history has, and, if
// neither explains the drift, pushes Vault's current password, under a claim like any
// push.
func (s *Sweep) Verify(ctx context.Context, sel Selection, repair bool) (result VerifyReport, err error) {
	result.Started = s.Clock.Now()
	s.Observe.observe(Event{Name: VerificationStarted})
	defer func() {
		if err != nil && ctx.Err() != nil {
			s.Observe.observe(Event{Name: VerificationInterrupted})
		}
	}()
	r, err := s.open(ctx, sel)
	if err != nil {
		return result, err
	}
	defer r.keys.Wipe()
	candidates, users, err := r.surveyUsers(ctx, everything)
	if err != nil {
		return result, err
	}
	r.users = users
	rivals := sharedUsers(candidates)
	selected := candidates[:0]
	for _, c := range candidates {
		if sel.covers(c) {
			selected = append(selected, c)
		}
	}
	s.Observe.observe(Event{Name: VerificationPlanned, Count: len(selected)})
	result.Findings = r.inspect(ctx, selected, repair, rivals)
	if err := ctx.Err(); err != nil {
		return result, err
	}
	result.Finished = s.Clock.Now()
	s.Observe.observe(Event{Name: VerificationFinished, Count: result.Problems()})
	return result, nil
}

func (f Finding) problem() error {
	if !f.Problem() {
		return nil
	}
	return errors.New(f.Reason)
}

// examine asks Mailu about the current password, then about the pending one, and stores
// the result in f. For a tenant that is being added Mailu may hold one that Vault has
// never known.
func (r *run) examine(ctx context.Context, c Candidate, f *Finding) {
	f.UnderWay, f.Unprovable, f.Reason = false, false, ""
	f.State, f.Reason = unasked(c)
	if f.State == "" {
		x := r.rotation(c.Credential)
		r.judgeAnswers(ctx, x, x.askBoth(ctx), f)
	}
	f.expires(c.Credential, r.clock.Now())
}

// expires adds that the record deletes itself, if it does.
func (f *Finding) expires(c Credential, now time.Time) {
	f.Vanishing = c.vanishes(now)
	if warning := expiry(c.Expires); warning != "" && f.Reason != "" {
		f.Reason += "; " + warning
	} else {
		f.Reason += warning
	}
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
	proof    Verification // of the current password, or of the pending one if that was asked about
	neither  bool         // both were asked about, and neither is held
	improper error        // why the current one cannot be one of ours
	asked    *Pending
	err      error // of the last request
}

func (r *rotation) askBoth(ctx context.Context) (a answers) {
	a.proof = Mismatch
	if a.asked = r.cred.current(); a.asked != nil {
		a.proof, a.improper, a.err = r.proves(ctx, a.asked)
	}
	lost := errors.Is(a.err, errUnreadable)
	if r.cred.Pending == nil || !lost && (a.err != nil || a.proof != Mismatch) {
		return a
	}
	proof, _, err := r.proves(ctx, r.cred.Pending)
	if lost && (err != nil || proof != Match) {
		return a // an error about the current one comes first
	}
	a.asked, a.proof, a.err = r.cred.Pending, proof, err
	a.neither = err == nil && proof == Mismatch && !r.cred.BeingAdded()
	return a
}

func (r *run) judgeAnswers(ctx context.Context, x *rotation, a answers, f *Finding) {
	pending := x.cred.Pending
	switch {
	case errors.Is(a.err, ErrUnknownUser):
		f.State, f.Reason = StateUnknownUser, x.whileAdded(a.err).Error()
	case errors.Is(a.err, errUnreadable):
		f.State, f.Reason = StateUnreadable, x.explain(ctx, a.asked, a.err).Error()
	case a.err != nil && !provesNothing(a.err):
		f.State, f.Reason = StateUnreachable, a.err.Error()
	case a.neither:
		f.State, f.Reason = StateDrift, "Mailu holds neither the current nor the pending password"
	case pending != nil && pending.Claim.live(r.clock.Now()):
		f.State, f.UnderWay, f.Reason = StatePending, true, rotationUnderWay(pending.Claim)
	case pending != nil:
		f.State, f.Reason = StatePending, x.cred.halfFinished()
	case a.err != nil:
		f.State, f.Unprovable, f.Reason = StateUnproven, true, a.err.Error()
	case a.proof == Unproven:
		f.State, f.Reason = StateUnproven, "verify is none for this server"
	case a.proof == Mismatch && a.improper != nil:
		f.State, f.Reason = StateDrift, fmt.Sprintf("Mailu holds another password than Vault's; %v, so it is never pushed: --run-now --tenant makes a new one", a.improper)
	case a.proof == Mismatch:
		f.State, f.Reason = StateDrift, "Mailu holds another password than Vault's"
	case a.improper != nil:
		f.State, f.Reason = StateOK, fmt.Sprintf("%v, which a login form or a mail client may not send: --run-now --tenant makes a new one", a.improper)
	default:
		f.State = StateOK
	}
	switch f.State {
	case StateOK:
		f.Reason = x.withRemark(f.Reason)
	case StateDrift, StatePending, StateUnproven:
		f.Reason = x.remarked(f.Reason)
	}
}
