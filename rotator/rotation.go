package rotator

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"mailu-rotator/crypto"
)

// Rotator takes credentials through the protocol, one call each. It is safe for
// concurrent use, but not for the same tenant twice at a time.
type Rotator struct {
	Store         Store
	Mailu         Mailu
	Keys          Envelope
	Clock         Clock
	NewPassword   func() (crypto.Secret, error)
	DefaultPolicy Policy
	Owner         string        // this process, unique among all hosts and times
	ClaimTTL      time.Duration // how long a claim is valid
	Observe       Observer
	OnStep        func(step Step, took time.Duration) // called concurrently; may be nil
	// Turn blocks until the server, which allows n concurrent requests, has a free push
	// slot. end or the end of ctx releases it. Nil means no limit.
	Turn func(ctx context.Context, origin Origin, n int) (end func(), err error)

	// Rivals finds the other records that name c's user. It is called after c's own
	// record is written, and before the first push for it. Nil means that no other
	// process adds tenants.
	Rivals func(ctx context.Context, c Credential) ([]Candidate, error)
}

// Result is how a rotation ended.
type Result struct {
	Rotation   string     // the id in its events; empty without events
	Credential Credential // as Vault holds it, as far as this process knows
	Outcome    Outcome
	Reason     string // for people; empty if the outcome needs no explanation
	Err        error  // nil for Rotated and Finished
}

// Rotate gives c's tenant a new password, or finishes a half-finished rotation; if that
// password is not new enough for the run, it rotates once more. It calls judge again if
// the record has changed since it was read. insist lifts the limit on take-overs.
func (r *Rotator) Rotate(ctx context.Context, c Credential, judge func(Credential) (Action, string), insist bool) Result {
	server, err := r.Mailu.Server(c.Origin)
	if err != nil {
		return Result{Credential: c, Outcome: Failed, Err: err}
	}
	run := &rotation{Rotator: r, server: server, cred: c, judge: judge, insist: insist, id: newRotationID()}
	defer func() { run.password.Wipe() }()

	outcome, err := run.carryOut(ctx)
	if withdrawn := withdrawnBy(err); withdrawn != nil {
		outcome, err = Ignored, withdrawn
	}
	result := Result{Rotation: run.id, Credential: run.cred, Outcome: outcome, Reason: expiry(run.cred.Expires), Err: err}
	if outcome == Rotated || outcome == Finished {
		result.Reason = run.withRemark(result.Reason)
	}
	return result
}

// rotation is the state of one credential's rotation.
type rotation struct {
	*Rotator
	id        string
	server    Server
	judge     func(Credential) (Action, string)
	insist    bool
	cred      Credential    // as Vault holds it, as far as we know
	next      *Pending      // the password to make current, with the fields that it was sealed or opened with
	password  crypto.Secret // its plain text
	uncertain bool          // a first write may have taken effect unseen
	fenced    bool          // a write of this attempt took effect, so no write of an earlier attempt can any longer
	shared    bool          // another process had the claim in between, and may have pushed
	refused   bool          // the push was refused, and Mailu is proven not to hold the password
	endTurn   func()        // ends the turn at the server; nil: no turn
}

// Reasons for an early end of a rotation, in addition to the errors of Store and
// Server.
var (
	errOvertaken  = errors.New("another process has changed the record in the meantime")
	errClaimed    = errors.New("another process is rotating it")
	errStuck      = fmt.Errorf("taken over %d times without success: see to the Mailu server, then name the tenant: --run-now --tenant", maxTakeovers)
	errNotHeld    = errors.New("Mailu holds another password than the one it was sent: see the log of its admin; the next run pushes the same one again")
	errRestored   = errors.New("the pending password had been overwritten and was put back beside the current one: the next run finishes it")
	errUnreadable = errors.New("the password does not open")
	errImproper   = errors.New("it is never sent to Mailu: --run-now --tenant makes a new one")

	errNothingWritten = errors.New("the record was left as it is")
	errInterrupted    = errors.New("not begun: the run was interrupted; the next one goes on")
	errWindowOver     = errors.New("not begun: the window is over, the next tick goes on")
	errRetargeted     = errors.New("user or server of the record changed during the rotation: the next run goes by the record as it is now")
)

// carryOut finishes a pending rotation before it starts a new one.
func (r *rotation) carryOut(ctx context.Context) (Outcome, error) {
	if r.cred.Pending == nil {
		return r.rotate(ctx)
	}
	outcome, err := r.finish(ctx)
	if err != nil && !errors.Is(err, errOvertaken) {
		return outcome, err
	}
	// Whichever process finished it, that password may be older than this run accepts.
	if action, _ := r.judge(r.cred); action != Rotate {
		return outcome, err
	}
	r.password.Wipe()
	return r.rotate(ctx)
}

// rotate is the protocol. After each step a crash leaves a state that finish can
// resume.
func (r *rotation) rotate(ctx context.Context) (Outcome, error) {
	if err := r.look(ctx); err != nil {
		return Failed, err
	}
	if err := r.prepare(ctx); err != nil {
		return r.ended(err), fmt.Errorf("prepare: %w", err)
	}
	return r.bring(ctx, Rotated)
}

// bring takes a prepared password through push, verify and commit.
func (r *rotation) bring(ctx context.Context, success Outcome) (Outcome, error) {
	if err := r.deliver(ctx); r.refused {
		return r.abandon(ctx, err)
	} else if err != nil {
		return r.ended(err), err
	}
	if err := r.commit(ctx); err != nil {
		return r.ended(err), fmt.Errorf("commit: %w", err)
	}
	return success, nil
}

// look asks Mailu for the user before anything is written. So a server that is down, an
// unknown user or a wrong token costs no KV version each night, and leaves nothing
// half-finished.
func (r *rotation) look(ctx context.Context) (err error) {
	defer r.timed(StepLook)()
	ctx, cancel := context.WithTimeout(ctx, r.ClaimTTL)
	defer cancel()
	return r.server.Knows(ctx, r.cred.Username)
}

// prepare makes a password and writes it beside the current one, claimed by this
// process. Repeated writes carry the same password, so a first write that takes effect
// late is recognized.
func (r *rotation) prepare(ctx context.Context) (err error) {
	defer r.timed(StepPrepare)()
	if r.password, err = r.NewPassword(); err != nil {
		return err
	}
	r.next = &Pending{LastRotated: formatTime(r.Clock.Now())}
	r.next.Password, r.next.KeyVersion, err = r.Keys.Seal(crypto.Binding{TenantID: string(r.cred.Tenant), LastRotated: r.next.LastRotated}, r.password)
	if err != nil {
		return err
	}
	r.next.Claim = r.newClaim(0) // after the derivation, which may have waited for a core
	return r.lay(ctx, func(c Credential) error {
		switch action, reason := r.judge(c); action {
		case Finish:
			return claimedBy(c.Pending.Claim)
		case Leave:
			return fmt.Errorf("%w: %s", errOvertaken, reason)
		}
		return nil
	})
}

// lay writes the new password beside the current one, unless allowed refuses the
// current state of the record.
func (r *rotation) lay(ctx context.Context, allowed func(Credential) error) error {
	err := r.write(ctx, change{
		apply: func(c *Credential) error {
			if err := allowed(*c); err != nil {
				return err
			}
			c.Pending = r.next
			return nil
		},
		landed: func(c Credential) bool { return c.holdsPending(r.next) },
	})
	if err != nil {
		return err
	}
	r.note(RotationPrepared, nil)
	if warning := expiry(r.cred.Expires); warning != "" {
		r.note(RecordExpires, errors.New(warning))
	}
	return nil
}

// push sends Mailu the pending password. It does so only under a valid claim, with a
// deadline before the claim's end: a late push could otherwise undo a rotation that
// another process began after us.
func (r *rotation) push(ctx context.Context) (err error) {
	if err := sendable(r.password); err != nil {
		return err
	}
	if err := r.holdClaim(ctx); err != nil {
		return err
	}
	defer r.timed(StepPush)()
	left := r.cred.Pending.Claim.Until.Sub(r.Clock.Now()) - r.ClaimTTL/10
	if left <= 0 {
		return fmt.Errorf("claim lapsed before the push: the next run takes it over; raise rotation.claim_ttl if that recurs: %w", context.DeadlineExceeded)
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	return r.server.SetPassword(ctx, r.cred.Username, r.password)
}

// sendable refuses a stored password that cannot be one of ours: everyone who types or
// copies it would be locked out once Mailu had it.
func sendable(password crypto.Secret) error {
	if err := crypto.CheckPassword(password); err != nil {
		return fmt.Errorf("%w, so %w", err, errImproper)
	}
	return nil
}

// verify asks Mailu which password it holds.
func (r *rotation) verify(ctx context.Context) (proof Proof, err error) {
	defer r.timed(StepVerify)()
	ctx, cancel := context.WithTimeout(ctx, r.ClaimTTL)
	defer cancel()
	proof, err = r.prove(ctx, r.cred.Username, r.password)
	if err != nil {
		return Unproven, fmt.Errorf("verify: %w", err)
	}
	return proof, nil
}

// prove asks Mailu, and checks the answer.
func (r *rotation) prove(ctx context.Context, username string, password crypto.Secret) (Proof, error) {
	check, err := r.server.Proof(ctx, username, password)
	r.leaveTurn() // the rest is this host's work
	if err != nil {
		return Unproven, err
	}
	return check.proof()
}

// verifyAgain checks, before a commit is applied on top of another write, that this
// write is not from the owner of an earlier rotation that was stopped in its push,
// continued after everything was over, and recorded its password.
func (r *rotation) verifyAgain(ctx context.Context) error {
	proof, err := r.verify(ctx)
	if err == nil && proof == NotHeld {
		return fmt.Errorf("verify: %w", errNotHeld)
	}
	return err
}

// commit makes the pending password current. The sealed string moves unchanged: it was
// sealed for the last_rotated that moves with it. If another password was written to
// the record in between, settle decides.
func (r *rotation) commit(ctx context.Context) (err error) {
	defer r.timed(StepCommit)()
	former := r.cred.Password
	var ending error
	rebased := false
	err = r.write(ctx, change{
		apply: func(c *Credential) (err error) {
			if c.holdsPending(r.next) && c.Pending.Claim.Owner != r.Owner && c.Pending.Claim.live(r.Clock.Now()) {
				return claimedBy(c.Pending.Claim) // which may be about to push it, and commits it
			}
			if c.holdsPending(r.next) && c.Password == former {
				if rebased {
					if err := r.verifyAgain(ctx); err != nil {
						return err
					}
				}
				rebased = true
				c.promote(r.next)
				ending = nil
				return nil
			}
			ending, err = r.settle(ctx, c)
			return err
		},
		landed: func(c Credential) bool {
			if errors.Is(ending, errRestored) {
				return c.holdsPending(r.next)
			}
			// Beside another's pending password ours is not safe yet: if our push was
			// late, theirs is gone from Mailu, and their commit is on its way.
			return c.current().same(r.next) && c.Pending == nil
		},
	})
	switch {
	case err != nil:
		return err
	case ending != nil:
		return ending
	}
	r.note(RotationCommitted, nil)
	return nil
}

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

func (r *rotation) note(name EventName, err error) {
	r.Observe.observe(Event{Name: name, Tenant: string(r.cred.Tenant), Origin: r.cred.Origin, Rotation: r.id, Err: err})
}

func newRotationID() string {
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	return hex.EncodeToString(id[:])
}
