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
	// Rivals finds the other records that name c's user. It is called after c's own
	// record is written, and before the first push for it. Nil means that no other
	// process adds tenants.
	Rivals func(ctx context.Context, c Credential) ([]Candidate, error)
	// LoginTurn is asked after a password was proven. Nil: no real login is tried.
	LoginTurn LoginTurn
}

// rotation is the state of one credential's rotation.
type rotation struct {
	*Rotator
	id        string
	server    Server
	judge     func(Credential) (Action, string)
	insist    bool
	replacing *Pending      // a restored password replaces exactly this current one; nil: judge decides
	cred      Credential    // as Vault holds it, as far as we know
	next      *Pending      // the password to make current, with the fields that it was sealed or opened with
	password  crypto.Secret // its plain text
	hash      string        // that Mailu showed, and that was proven to be of this password; "": none was
	full      bool          // the stored proof does not matter
	endSlot   func()        // ends the push slot at the server; nil: none is held
	uncertain bool          // a first write may have taken effect unseen
	fenced    bool          // a write of this attempt took effect, so no write of an earlier attempt can any longer
	shared    bool          // an earlier attempt or another process had the claim, and may have pushed
}

// begin returns a rotation of c. An error means that its server is not listed; the
// rotation can then only work on the record.
func (r *Rotator) begin(c Credential, insist bool) (*rotation, error) {
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	server, err := r.Mailu.Server(c.Origin)
	return &rotation{Rotator: r, id: hex.EncodeToString(id[:]), server: server, cred: c, insist: insist}, err
}

// Rotate gives c's tenant a new password, or finishes a half-finished rotation; if that
// password is not new enough for the run, it rotates once more. It calls judge again if
// the record has changed since it was read. insist lifts the limit on take-overs.
func (r *Rotator) Rotate(ctx context.Context, c Credential, judge func(Credential) (Action, string), insist bool) Result {
	x, err := r.begin(c, insist)
	if err != nil {
		return Result{Credential: c, Outcome: Failed, Err: err}
	}
	return x.run(ctx, judge)
}

func (r *rotation) run(ctx context.Context, judge func(Credential) (Action, string)) Result {
	defer func() { r.password.Wipe() }()
	r.judge = judge
	resumed := r.cred.Pending != nil
	outcome, err := r.rotate(ctx, Rotated)
	if resumed && (err == nil || errors.Is(err, errOvertaken)) {
		// Whichever process finished it, that password may be older than this run accepts.
		if action, _ := judge(r.cred); action == Rotate {
			outcome, err = r.rotate(ctx, Rotated)
		}
	}
	if withdrawn, is := errors.AsType[*withdrawnError](err); is {
		outcome, err = Ignored, withdrawn
	}
	result := Result{Rotation: r.id, Credential: r.cred, Outcome: outcome, Reason: expiry(r.cred.Expires), Err: err}
	if outcome == Rotated || outcome == Finished {
		result.Reason = r.withRemark(result.Reason)
		if r.hash != "" {
			result.withLogin(r.tryLogin(ctx))
		}
	}
	return result
}

// rotate is the protocol (docs/architecture.md). Each step says what a crash leaves;
// "the next run" is any process that reads the record then, also on another host.
//
// A half-finished rotation goes through the same steps with the password that is
// pending, since no process makes a second one while one is. An earlier password that
// is restored (r.replacing) is prepared as a new one is.
func (r *rotation) rotate(ctx context.Context, success Outcome) (Outcome, error) {
	held := false // Mailu has shown that it holds the pending password
	if r.cred.Pending == nil {
		// Precheck: does Mailu know the user, and does it accept the token? Nothing is
		// written yet. Crash: nothing has happened.
		if err := r.precheck(ctx); err != nil {
			return Failed, err
		}
		// Prepare: one check-and-set write puts the sealed password beside the current one,
		// with this process's claim. From here on the password is durable. Crash: the
		// current password works; the next run takes the claim over once it has lapsed, and
		// pushes this same password.
		if err := r.prepare(ctx); err != nil {
			return r.ended(err), fmt.Errorf("prepare: %w", err)
		}
	} else {
		success = Finished
		var err error
		if held, err = r.resume(ctx); err != nil {
			return r.ended(err), err
		}
	}
	if !held {
		// A tenant that is being added must be the only one with its user.
		if err := r.admit(ctx); err != nil {
			return r.ended(err), fmt.Errorf("admit: %w", err)
		}
		var err error
		if r.endSlot, err = r.server.PushSlot(ctx); err != nil {
			return r.ended(err), fmt.Errorf("push: %w", err)
		}
		defer r.leaveSlot()
		// Push, under a live claim. Crash: Mailu has the current or the pending password,
		// and Vault has both; the next run asks which, and pushes again if need be.
		pushed := r.push(ctx)
		// Verify: not the push's own answer decides but what Mailu holds now. A timeout
		// leaves open whether the push took effect, and a proxy can refuse in Mailu's name.
		refused, err := r.verifyPush(ctx, pushed)
		r.leaveSlot()
		if refused {
			// Abandon: Mailu proved that it does not have the password, so it is no longer
			// pending. Crash: it stays pending, and the next run pushes it.
			return r.abandon(ctx, err)
		}
		if err != nil {
			return r.ended(err), err
		}
	}
	// Commit: one check-and-set write makes the pending password current. Crash before it:
	// readers of the current password are refused until the next run, which finds that
	// Mailu holds the pending one and commits. Crash after it: all is done.
	if err := r.commit(ctx); err != nil {
		return r.ended(err), fmt.Errorf("commit: %w", err)
	}
	return success, nil
}

// precheck asks Mailu for the user before anything is written. So a server that is
// down, an unknown user or a wrong token costs no KV version each night, and leaves
// nothing half-finished.
func (r *rotation) precheck(ctx context.Context) error {
	defer r.timed(StepPrecheck)()
	ctx, cancel := context.WithTimeout(ctx, r.ClaimTTL)
	defer cancel()
	return r.server.Knows(ctx, r.cred.Username)
}

// prepare makes a password, unless an earlier one is restored, and writes it beside the
// current one, claimed by this process. Repeated writes carry the same password, so a
// first write that takes effect late is recognized.
func (r *rotation) prepare(ctx context.Context) error {
	defer r.timed(StepPrepare)()
	if r.replacing == nil {
		password, err := r.NewPassword()
		if err != nil {
			return err
		}
		r.password.Wipe()
		r.password = password
		if err := r.seal(FormatTime(r.Clock.Now())); err != nil {
			return err
		}
	}
	claimed := *r.next
	claimed.Claim = r.newClaim(0) // after the derivation, which may have waited for a core
	r.next, r.shared = &claimed, false
	err := r.update(ctx, change{
		apply: func(c *Credential) error {
			if err := r.mayPrepare(*c); err != nil {
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

// mayPrepare refuses a state of the record beside which no password may be prepared.
func (r *rotation) mayPrepare(c Credential) error {
	if r.replacing != nil {
		if c.Pending != nil || !c.current().same(r.replacing) {
			return errOvertaken
		}
		return nil
	}
	switch action, reason := r.judge(c); action {
	case Finish:
		return claimedBy(c.Pending.Claim)
	case Leave:
		return fmt.Errorf("%w: %s", errOvertaken, reason)
	}
	return nil
}

// push sends Mailu the pending password. It does so only under a valid claim, with a
// deadline before the claim's end: a late push could otherwise undo a rotation that
// another process began after us.
func (r *rotation) push(ctx context.Context) error {
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

// verifyPush decides after a push: nil if Mailu is proven to hold the password, or is
// not to be asked (verify: none). refused means that the password may be abandoned.
func (r *rotation) verifyPush(ctx context.Context, pushed error) (refused bool, err error) {
	certain := errors.Is(pushed, ErrRefused)
	switch {
	case pushed == nil:
		r.note(PasswordPushed, nil)
	case certain && r.cred.BeingAdded(): // its only password is never dropped, so nothing depends on the answer
		return true, fmt.Errorf("push: %w", pushed)
	case certain && MayNotBeAsked(pushed):
		return false, fmt.Errorf("push: %w; not proven, so the password stays pending", pushed)
	case certain:
	case isAny(pushed, errClaimed, errOvertaken, errStuck, errImproper) || IsWithdrawn(pushed) || MayNotBeAsked(pushed): // not sent, or not to be asked
		return false, fmt.Errorf("push: %w", pushed)
	default: // a timeout, a reset, an answer that says nothing
		r.note(PushUncertain, pushed)
	}

	match, asked := r.verify(ctx)
	switch {
	case asked == nil && match == Match:
		if certain {
			r.note(PushUncertain, pushed)
		}
		r.note(PasswordVerified, nil)
		return false, nil
	case certain && (errors.Is(asked, ErrUnknownUser) || asked == nil && match == Mismatch):
		return !r.shared, fmt.Errorf("push: %w", pushed)
	case certain && asked != nil:
		return false, fmt.Errorf("push: %w; not proven, so the password stays pending: %w", pushed, asked)
	case certain:
		return false, fmt.Errorf("push: %w; not proven, since this server is not to be asked (verify: none), so the password stays pending", pushed)
	case pushed != nil:
		return false, fmt.Errorf("push: %w", pushed)
	case asked != nil:
		return false, asked
	case match == Mismatch:
		return false, fmt.Errorf("verify: %w", errNotHeld)
	}
	return false, nil // the server is configured without verification
}

// verify asks Mailu whether it holds the pending password.
func (r *rotation) verify(ctx context.Context) (Verification, error) {
	defer r.timed(StepVerify)()
	match, hash, err := r.ask(ctx, r.password)
	r.hash = hash
	if err != nil {
		return Unproven, fmt.Errorf("verify: %w", err)
	}
	return match, nil
}

func (r *rotation) leaveSlot() {
	if r.endSlot != nil {
		r.endSlot()
		r.endSlot = nil
	}
}

// abandon removes a pending password that Mailu does not have: this process made it,
// each of its pushes was certainly refused, and Mailu has since shown that it holds
// another. No push can take effect after that: the refusal was Mailu's own, otherwise
// it would not be certain, and Mailu has finished with a refused request. No other
// process can have pushed it, since this process always held the claim: it was not
// retaken from another (shared), and the check-and-set on the owner proves that no
// other process has it now.
//
// The password of a tenant that is being added stays, because the record has no other;
// only the claim is released, so that the next run need not wait for its end.
func (r *rotation) abandon(ctx context.Context, refusal error) (Outcome, error) {
	what := "abandon"
	var left *Pending
	if r.cred.BeingAdded() {
		what, left = "release the claim", r.lapsed(r.cred.Pending)
		refusal = r.whileAdded(refusal)
	} else {
		defer r.timed(StepAbandon)()
	}
	err := r.update(ctx, change{
		apply: func(c *Credential) error {
			if !c.holdsPending(r.next) || c.Pending.Claim.Owner != r.Owner {
				return errOvertaken
			}
			c.Pending = left
			return nil
		},
		landed: func(c Credential) bool {
			return !c.holdsPending(r.next) || left != nil && c.Pending.Claim == left.Claim
		},
	})
	switch {
	case left != nil && (err == nil || errors.Is(err, errOvertaken)):
		return Unfinished, refusal
	case err != nil:
		return Unfinished, fmt.Errorf("%w; %s: %w", refusal, what, err)
	}
	r.note(RotationAbandoned, refusal)
	return Refused, refusal
}

// commit makes the pending password current. The sealed string moves unchanged: it was
// sealed for the last_rotated that moves with it. If another password was written to
// the record in between, resolveConflict decides.
func (r *rotation) commit(ctx context.Context) error {
	defer r.timed(StepCommit)()
	former := r.cred.Password
	var ending error
	rebased := false
	err := r.update(ctx, change{
		apply: func(c *Credential) (err error) {
			if c.holdsPending(r.next) {
				if err := r.claimed(c.Pending); err != nil {
					return err // its owner may be about to push it, and commits it
				}
			}
			if !c.holdsPending(r.next) || c.Password != former {
				ending, err = r.resolveConflict(ctx, c)
				return err
			}
			if rebased {
				// The other write may be that of an earlier rotation's owner, who was stopped
				// in its push, continued after everything was over, and recorded its password.
				switch match, err := r.verify(ctx); {
				case err != nil:
					return err
				case match == Mismatch:
					return fmt.Errorf("verify: %w", errNotHeld)
				}
			}
			rebased, ending = true, nil
			r.promote(c)
			return nil
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
