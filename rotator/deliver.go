package rotator

import (
	"context"
	"errors"
	"fmt"
)

// deliver pushes and verifies, in one turn at the server. If a push's outcome is
// unknown, the password that Mailu then holds decides.
func (r *rotation) deliver(ctx context.Context) error {
	if err := r.admit(ctx); err != nil {
		return fmt.Errorf("admit: %w", err)
	}
	if err := r.takeTurn(ctx); err != nil {
		return fmt.Errorf("push: %w", err)
	}
	defer r.leaveTurn()
	pushed := r.push(ctx)
	switch {
	case pushed == nil:
		r.note(PasswordPushed, nil)
	case errors.Is(pushed, ErrRefused):
		return r.afterRefusal(ctx, pushed)
	case cannotHaveReached(pushed) || mayNotBeAsked(pushed):
		return fmt.Errorf("push: %w", pushed)
	default:
		r.note(PushUncertain, pushed)
	}
	proof, err := r.verify(ctx)
	switch {
	case err != nil && pushed != nil:
		return fmt.Errorf("push: %w", pushed)
	case err != nil:
		return err
	case proof == Held:
		r.note(PasswordVerified, nil)
		return nil
	case pushed != nil:
		return fmt.Errorf("push: %w", pushed)
	case proof == NotHeld:
		return fmt.Errorf("verify: %w", errNotHeld)
	}
	return nil // the server is configured without verification
}

// afterRefusal asks what Mailu holds before it believes a refusal: a proxy can send one
// when it lost the answer. The new password is removed from Vault only after proof that
// Mailu holds another one, or has no such user. Without proof it stays pending, and the
// next run continues with it. For an addition it does not ask, because the only
// password is never removed.
func (r *rotation) afterRefusal(ctx context.Context, refusal error) error {
	if r.cred.BeingAdded() {
		r.refused = !r.shared
		return fmt.Errorf("push: %w", refusal)
	}
	if mayNotBeAsked(refusal) {
		return fmt.Errorf("push: %w; not proven, so the password stays pending", refusal)
	}
	switch proof, err := r.verify(ctx); {
	case errors.Is(err, ErrUnknownUser):
	case err != nil:
		return fmt.Errorf("push: %w; not proven, so the password stays pending: %w", refusal, err)
	case proof == Held:
		r.note(PushUncertain, refusal)
		r.note(PasswordVerified, nil)
		return nil
	case proof == Unproven:
		return fmt.Errorf("push: %w; not proven, since this server is not to be asked (verify: none), so the password stays pending", refusal)
	}
	r.refused = !r.shared
	return fmt.Errorf("push: %w", refusal)
}

func (r *rotation) takeTurn(ctx context.Context) (err error) {
	if r.Turn != nil {
		r.endTurn, err = r.Turn(ctx, r.cred.Origin, r.server.MaxConcurrent())
	}
	return err
}

func (r *rotation) leaveTurn() {
	if r.endTurn != nil {
		r.endTurn()
		r.endTurn = nil
	}
}

// cannotHaveReached reports whether the push certainly had no effect, so that asking is
// needless.
func cannotHaveReached(err error) bool {
	return errors.Is(err, errClaimed) || errors.Is(err, errOvertaken) || errors.Is(err, errStuck) || errors.Is(err, errImproper) || isWithdrawn(err)
}

// mayNotBeAsked reports whether no further request may be sent to the server.
func mayNotBeAsked(err error) bool {
	var limited *RateLimitedError
	return errors.Is(err, ErrServerUnusable) || errors.As(err, &limited)
}
