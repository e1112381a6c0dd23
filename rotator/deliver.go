package rotator

import (
	"context"
	"errors"
	"fmt"
)

// deliver pushes and verifies, in one turn at the server. A push whose outcome is
// unknown is settled by what Mailu turns out to hold.
func (r *rotation) deliver(ctx context.Context) error {
	if err := r.takeTurn(ctx); err != nil {
		return fmt.Errorf("push: %w", err)
	}
	defer r.leaveTurn()
	pushed := r.push(ctx)
	switch {
	case pushed == nil:
		r.note(PasswordPushed, nil)
	case cannotHaveReached(pushed) || mayNotBeAsked(pushed):
		r.refused = errors.Is(pushed, ErrRefused) && !r.shared
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
	return errors.Is(err, ErrRefused) || errors.Is(err, errClaimed) || errors.Is(err, errOvertaken) || errors.Is(err, errStuck) || errors.Is(err, errImproper)
}

// mayNotBeAsked tells the errors after which the server must be left alone.
func mayNotBeAsked(err error) bool {
	var limited *RateLimitedError
	return errors.Is(err, ErrServerUnusable) || errors.As(err, &limited)
}
