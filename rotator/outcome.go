package rotator

import (
	"errors"
	"fmt"
	"slices"

	"mailu-rotator/crypto"
)

// Outcome is what a run did with a tenant, or plans to do; part of the JSON report.
type Outcome string

// The outcomes.
const (
	Rotated  Outcome = "rotated"  // a new password, in Mailu and in Vault
	Finished Outcome = "finished" // a half-finished rotation was completed
	Planned  Outcome = "planned"  // would be rotated or finished (dry run)
	Fresh    Outcome = "fresh"    // nothing to do
	Added    Outcome = "added"    // a new tenant: its record in Vault, its first password in Mailu
	Resealed Outcome = "resealed" // the same password, sealed with the newest master key
	Restored Outcome = "restored" // an earlier password is current again (rollback)
	Deferred Outcome = "deferred" // to be rotated, but not started: limit, window or interrupt
	Ignored  Outcome = "ignored"  // not a tenant; never touched

	Invalid    Outcome = "invalid"    // malformed or unreadable record; never touched
	Blocked    Outcome = "blocked"    // not started because of its server or Vault
	Claimed    Outcome = "claimed"    // another process is rotating it
	Refused    Outcome = "refused"    // Mailu certainly refused; the old password stays
	Unfinished Outcome = "unfinished" // half-finished; the next run finishes it
	Stuck      Outcome = "stuck"      // half-finished and taken over too often; see maxTakeovers
	Failed     Outcome = "failed"     // not rotated, and nothing was changed
)

// Outcomes returns all of them, in the order of a summary.
func Outcomes() []Outcome {
	return []Outcome{
		Planned, Rotated, Finished, Added, Restored, Resealed, Fresh, Deferred, Ignored,
		Refused, Unfinished, Stuck, Claimed, Blocked, Failed, Invalid,
	}
}

// Failure reports whether the tenant needs attention, and the exit status is 2.
func (o Outcome) Failure() bool {
	return slices.Contains([]Outcome{Invalid, Blocked, Claimed, Refused, Unfinished, Stuck, Failed}, o)
}

// Result is how a rotation ended.
type Result struct {
	Rotation   string     // the id in its events; empty without events
	Credential Credential // as Vault holds it, as far as this process knows
	Outcome    Outcome
	Reason     string     // for people; empty if the outcome needs no explanation
	Login      LoginState // of a real login with the new password
	Err        error      // nil for Rotated and Finished
}

func (r *Result) withLogin(state LoginState, err error) {
	r.Login = state
	if err != nil {
		r.Reason = joined(fmt.Sprintf("login %s: %v", state, err), r.Reason)
	}
}

// Reasons for an early end of a rotation, beside the errors of Store and Server.
var (
	errOvertaken  = errors.New("another process has changed the record in the meantime")
	errClaimed    = errors.New("another process is rotating it")
	errStuck      = fmt.Errorf("taken over %d times without success: see to the Mailu server, then name the tenant: --run-now --tenant", maxTakeovers)
	errNotHeld    = errors.New("Mailu holds another password than the one it was sent: see the log of its admin; the next run pushes the same one again")
	errRestored   = errors.New("the pending password had been overwritten and was put back beside the current one: the next run finishes it")
	errUnreadable = errors.New("the password does not open")
	errImproper   = errors.New("it is never sent to Mailu: --run-now --tenant makes a new one")

	errNothingWritten = errors.New("the record was left as it is")
	errRetargeted     = errors.New("user or server of the record changed during the rotation: the next run goes by the record as it is now")
)

// ended is the outcome of a rotation that stopped with err.
func (r *rotation) ended(err error) Outcome {
	switch {
	case errors.Is(err, errOvertaken):
		return Fresh
	case errors.Is(err, errClaimed):
		return Claimed
	case errors.Is(err, errStuck):
		return Stuck
	case r.cred.Pending != nil || r.uncertain:
		return Unfinished
	}
	return Failed
}

// Permanent reports whether a retry in the same run would not change the result.
func (r Result) Permanent() bool {
	return slices.Contains([]Outcome{Fresh, Refused, Stuck, Deferred}, r.Outcome) ||
		isAny(r.Err, ErrRefused, ErrAbsent, ErrMalformed, ErrOriginNotListed, errUnreadable, errNotAlone, errImproper)
}

// isAny reports whether an error is one of the targets.
func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// sendable refuses a stored password that cannot be one of ours: everyone who types or
// copies it would be locked out once Mailu had it.
func sendable(password crypto.Secret) error {
	if err := crypto.CheckPassword(password); err != nil {
		return fmt.Errorf("%w, so %w", err, errImproper)
	}
	return nil
}

// MayNotBeAsked reports whether no further request may be sent to the server.
func MayNotBeAsked(err error) bool {
	_, limited := errors.AsType[*RateLimitedError](err)
	return limited || errors.Is(err, ErrServerUnusable)
}
