package mailu

import (
	"context"
	"errors"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// Proof implements [rotator.Server] by the hash that Mailu returns for the user; it
// does not log in. With [VerifyNone] it sends no request and returns no check.
// Otherwise the check costs this host 0.3 s of one core at Mailu's 12 rounds, and at
// most 2 s.
//
// An error, from Proof or from the check, is [rotator.ErrUnverifiable] if the answer is
// Mailu's but unusable: another scheme, another user's, no such user. It is never
// [rotator.ErrRefused], which is about pushes.
func (s *Server) Verify(ctx context.Context, username string, password crypto.Secret) (rotator.HashCheck, error) {
	if s.verify == VerifyNone {
		return nil, nil
	}
	c, err := s.begin("verify the password of", rotator.ErrUnverifiable, username, password)
	if err != nil {
		return nil, err
	}
	if password.Empty() {
		return nil, c.refuse("the password is empty", "correct the record in Vault")
	}

	user, err := c.ask(ctx)
	if err != nil {
		return nil, err
	}
	if user.Password == "" {
		return nil, c.failure("the answer has no hash of a password", provesNothing, c.errRefused)
	}
	return func() (rotator.Verification, error) {
		if err := ctx.Err(); err != nil {
			return rotator.Unproven, c.failure("the time of this call ran out before the hash was checked", "the next run goes on from here", err)
		}
		return c.check(user.Password, password)
	}, nil
}

// provesNothing is the advice about a hash that is not Mailu's own: imports and
// restored backups leave such hashes for single users, and the next password replaces
// them. Only if it returns, verification is impossible with this server.
const provesNothing = "rotate this tenant, which replaces it; set verify to none only for a server that makes such hashes itself"

func (c *call) check(hash string, password crypto.Secret) (rotator.Verification, error) {
	held, err := holds(hash, password)
	var other *otherSchemeError
	switch {
	case errors.As(err, &other):
		return rotator.Unproven, c.failure("the hash is of another kind: "+c.sanitizer.clean(other.scheme),
			provesNothing, c.errRefused)
	case err != nil:
		return rotator.Unproven, c.failure(err.Error(), provesNothing, c.errRefused)
	case held:
		return rotator.Match, nil
	default:
		return rotator.Mismatch, nil
	}
}
