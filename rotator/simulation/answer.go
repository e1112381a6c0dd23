package simulation

import (
	"errors"

	"mailu-rotator/rotator"
)

var errLost = errors.New("connection reset")

// refusal is the error that a process receives instead of the answer, classified as the
// clients of Vault and Mailu do; nil if it receives the answer.
func refusal(c Call, f Fate) error {
	switch f {
	case LostBefore, LostAfter, LateEffect:
		return errLost
	case LandedConflict:
		return rotator.ErrConflict
	case Refused, RefusedAfter:
		return rotator.ErrRefused
	case Limited, LimitedAfter:
		return &rotator.RateLimitedError{Err: errLost}
	case Unverifiable:
		return rotator.ErrUnverifiable
	case Forbidden:
		return forbidden(c)
	}
	return nil
}

func forbidden(c Call) error {
	switch c {
	case Read, Write:
		return rotator.ErrForbidden
	case Proof: // nothing was learned about the hash
		return rotator.ErrServerUnusable
	}
	return errors.Join(rotator.ErrServerUnusable, rotator.ErrRefused)
}
