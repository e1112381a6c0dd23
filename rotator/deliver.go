package rotator

import (
	"context"
	"errors"
	"fmt"
)

// deliver pushes and verifies, in one turn at the server. A push whose outcome is
// unknown is settled by what Mailu turns out to hold.
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
	return nil // this server is configured not to be asked
}

// afterRefusal asks what Mailu holds before a refusal is believed: a proxy can
// make one of an answer that it lost. Only a proof that Mailu holds another
// password, or has no such user, lets the new one be taken out of Vault. Where
// nothing is proven it stays pending, and the next run goes on with it. Nothing
// is asked for an addition, whose only password is not taken out anyway.
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

// cannotHaveReached tells the errors after which there is nothing to look for.
func cannotHaveReached(err error) bool {
	return errors.Is(err, errClaimed) || errors.Is(err, errOvertaken) || errors.Is(err, errStuck) || errors.Is(err, errImproper) || isWithdrawn(err)
}

// mayNotBeAsked tells the errors after which the server must be left alone.
func mayNotBeAsked(err error) bool {
	var limited *RateLimitedError
	return errors.Is(err, ErrServerUnusable) || errors.As(err, &limited)
}
