package rotator

import (
	"context"
	"errors"
	"time"
)

// State is what a verification finds. The strings are part of the JSON report.
type State string

// The states.
const (
	StateOK          State = "ok"           // Mailu accepts the current password of Vault
	StateDrift       State = "drift"        // Mailu accepts no password that Vault's record holds
	StatePending     State = "pending"      // a rotation is under way or half-finished
	StateUnreadable  State = "unreadable"   // the record is deleted, malformed, or its password does not open
	StateUnreachable State = "unreachable"  // Vault or Mailu did not answer, so nothing is known
	StateUnknownUser State = "unknown user" // Mailu has no such user
	StateUnproven    State = "unproven"     // the server is configured not to be asked (verify: none)
	StateIgnored     State = "ignored"      // not a tenant
)

// States returns all of them, in the order in which a summary counts them.
func States() []State {
	return []State{StateOK, StatePending, StateDrift, StateUnreadable, StateUnreachable, StateUnknownUser, StateUnproven, StateIgnored}
}

// Problem reports whether somebody has to look at the tenant: such findings
// make the exit status 2. A pending rotation is a problem only if nobody has a
// live claim on it, which its finding says.
func (s State) Problem() bool {
	switch s {
	case StateDrift, StateUnreadable, StateUnreachable, StateUnknownUser:
		return true
	}
	return false
}

// Finding is what a verification says of one tenant.
type Finding struct {
	Tenant   string // as listed
	User     string
	Origin   Origin
	State    State  // after the repair, if there was one
	Repaired bool   // the state was another one before
	UnderWay bool   // with StatePending: another process has a live claim
	Reason   string // for people; empty where the state says all
}

// Problem reports whether somebody has to look at the tenant.
func (f Finding) Problem() bool {
	return f.State.Problem() || f.State == StatePending && !f.UnderWay
}

// Verification is the result of one run of Verify.
type Verification struct {
	Started  time.Time
	Finished time.Time
	Findings []Finding // in the order of the list
}

// Problems is the number of findings that somebody has to look at.
func (v Verification) Problems() int {
	n := 0
	for _, f := range v.Findings {
		if f.Problem() {
			n++
		}
	}
	return n
}

// Count is the number of findings with the state.
func (v Verification) Count(s State) int {
	n := 0
	for _, f := range v.Findings {
		if f.State == s {
			n++
		}
	}
	return n
}

// Verify asks, for every tenant of the selection, whether Mailu accepts what
// Vault holds. It writes nothing, unless it is to repair what it finds: then a
// half-finished rotation is finished, a password that Mailu holds and only
// Vault's history knows is made current again, and where neither explains the
// drift Vault's current password is pushed, under a claim as any push.
func (s *Sweep) Verify(ctx context.Context, sel Selection, repair bool) (result Verification, err error) {
	ctx, end := s.Trace.begin(ctx, Part{Name: PartVerification})
	defer func() { end(err) }()
	result.Started = s.Clock.Now()
	s.Observe.observe(Event{Name: VerificationStarted})
	r, err := s.open(ctx, sel)
	if err != nil {
		return result, err
	}
	defer r.keys.Wipe()
	candidates, err := r.survey(ctx, everything)
	if err != nil {
		return result, err
	}
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

// examine asks Mailu about the current password, then about the pending one. Of a
// tenant that is being added Mailu may hold one that Vault has never known.
func (r *run) examine(ctx context.Context, c Candidate) (state State, underWay bool, reason string) {
	switch {
	case c.Foreign:
		return StateIgnored, false, notATenant
	case c.Err != nil && (errors.Is(c.Err, ErrAbsent) || errors.Is(c.Err, ErrMalformed)):
		return StateUnreadable, false, c.Err.Error()
	case c.Err != nil:
		return StateUnreachable, false, c.Err.Error()
	case c.Unlisted != nil:
		return StateUnreachable, false, c.Unlisted.Error()
	}
	x := r.rotation(c.Credential)
	proof, err := NotHeld, error(nil)
	if current := c.Credential.current(); current != nil {
		proof, err = x.proves(ctx, current)
	}
	if err == nil && proof == NotHeld && c.Credential.Pending != nil {
		proof, err = x.proves(ctx, c.Credential.Pending)
		if err == nil && proof == NotHeld && !c.Credential.BeingAdded() {
			return StateDrift, false, "Mailu holds neither the current nor the pending password"
		}
	}
	switch {
	case errors.Is(err, ErrUnknownUser):
		return StateUnknownUser, false, x.whileAdded(err).Error()
	case errors.Is(err, errUnreadable):
		return StateUnreadable, false, err.Error()
	case errors.Is(err, ErrUnverifiable):
		return StateDrift, false, err.Error() // the hash is not one that a rotation leaves
	case err != nil:
		return StateUnreachable, false, err.Error()
	case c.Credential.Pending != nil:
		claim := c.Credential.Pending.Claim
		if claim.live(r.clock.Now()) {
			return StatePending, true, rotationUnderWay(claim)
		}
		return StatePending, false, c.Credential.halfFinished()
	case proof == Unproven:
		return StateUnproven, false, "verify is none for this server"
	case proof == NotHeld:
		return StateDrift, false, "Mailu holds another password than Vault's"
	}
	return StateOK, false, ""
}
