package mailu

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"golang.org/x/crypto/bcrypt"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// Verify implements [rotator.Server] by the hash that Mailu returns for the user; it
// does not log in. With [VerifyNone] it sends no request and returns no check.
// Otherwise the check costs this host 0.3 s of one core at Mailu's 12 rounds, and at
// most 2 s.
//
// An error, also of the check, is [rotator.ErrUnverifiable] if the answer is Mailu's but
// unusable: another scheme, another user's, no such user.
func (s *Server) Verify(ctx context.Context, username string, password crypto.Secret) (*rotator.HashCheck, error) {
	if s.config.Verify == VerifyNone {
		return nil, nil
	}
	c, err := s.begin("verify the password of", rotator.ErrUnverifiable, username, password)
	if err != nil {
		return nil, err
	}
	if password.Empty() {
		return nil, c.refuse("the password is empty", "correct the record in Vault")
	}

	hash, err := c.hash(ctx)
	if err != nil {
		return nil, err
	}
	return &rotator.HashCheck{Hash: hash, Check: func() (rotator.Verification, error) {
		if err := ctx.Err(); err != nil {
			return rotator.Unproven, c.failure("the time of this call ran out before the hash was checked", "the next run goes on from here", err)
		}
		held, err := holds(hash, password)
		switch {
		case err != nil:
			return rotator.Unproven, c.failure(c.sanitizer.clean(err.Error()), provesNothing, c.errRefused)
		case held:
			return rotator.Match, nil
		}
		return rotator.Mismatch, nil
	}}, nil
}

// Hash implements [rotator.Server].
func (s *Server) Hash(ctx context.Context, username string) (string, error) {
	if s.config.Verify == VerifyNone {
		return "", nil
	}
	c, err := s.begin("verify the password of", rotator.ErrUnverifiable, username, crypto.Secret{})
	if err != nil {
		return "", err
	}
	return c.hash(ctx)
}

// hash asks for the hash of the user's password.
func (c *call) hash(ctx context.Context) (string, error) {
	user, err := c.ask(ctx)
	if err == nil && user.Password == "" {
		err = c.failure("the answer has no hash of a password", provesNothing, c.errRefused)
	}
	return user.Password, err
}

// provesNothing is the advice about a hash that is not Mailu's own: imports and
// restored backups leave such hashes for single users, and the next password replaces
// them. Only if it returns, verification is impossible with this server.
const provesNothing = "rotate this tenant, which replaces it; set verify to none only for a server that makes such hashes itself"

// bcryptSHA256 is a hash of passlib's bcrypt_sha256, version 2:
//
//	$bcrypt-sha256$v=2,t=2b,r=12$<salt, 22 characters>$<digest, 31 characters>
//
// where digest is bcrypt's over base64(HMAC-SHA256(key = the salt's characters,
// password)). The HMAC lifts bcrypt's limit of 72 bytes.
type bcryptSHA256 struct {
	variant      string // 2a, 2b or 2y; identical functions for keys this short
	rounds       int    // binary logarithm of the work
	salt, digest string
}

// bcryptSHA256Form accepts one spelling only. Passlib writes no other, and a lenient
// reader would have to guess which salt went into the HMAC. The last characters of salt
// and digest are those whose padding, of 4 and 2 bits, is zero. The rounds bound the time
// that a server can make this host spend on one answer: 2 s at 15, but a day and a half
// at bcrypt's own limit of 31.
var bcryptSHA256Form = regexp.MustCompile(`^\$bcrypt-sha256\$v=2,t=(2[aby]),r=([4-9]|1[0-5])` +
	`\$([./A-Za-z0-9]{21}[.Oeu])\$([./A-Za-z0-9]{30}[.CGKOSWaeimquy26])$`)

// schemeForm is the name in front as passlib ($name$…) or Dovecot ({NAME}…) writes it.
var schemeForm = regexp.MustCompile(`^(?:\$([-\w]{1,20})\$|{([-\w]{1,20})})`)

// otherSchemeError names a hash's scheme and nothing else from it.
type otherSchemeError struct{ scheme string }

func (e *otherSchemeError) Error() string { return "the hash is of another kind: " + e.scheme }

var errMalformedHash = errors.New("the hash is not in the form of bcrypt-sha256, version 2, with 4 to 15 rounds")

// holds reports whether hash belongs to exactly this password. An error means that the
// hash cannot be checked, and never contains it.
func holds(hash string, password crypto.Secret) (bool, error) {
	h, err := parseHash(hash)
	if err != nil {
		return false, err
	}
	mac := hmac.New(sha256.New, []byte(h.salt))
	mac.Write(password.Reveal())
	sum := mac.Sum(nil)
	key := base64.StdEncoding.AppendEncode(nil, sum)
	defer func() { clear(sum); clear(key) }() // here they are as secret as the password

	err = bcrypt.CompareHashAndPassword(fmt.Appendf(nil, "$%s$%02d$%s%s", h.variant, h.rounds, h.salt, h.digest), key)
	if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		return false, nil
	}
	if err != nil {
		return false, errMalformedHash // unreachable after parsing; bcrypt's error would quote parts of the hash
	}
	return true, nil
}

func parseHash(hash string) (bcryptSHA256, error) {
	if parts := bcryptSHA256Form.FindStringSubmatch(hash); parts != nil {
		rounds, _ := strconv.Atoi(parts[2]) // the form has only numbers there
		return bcryptSHA256{variant: parts[1], rounds: rounds, salt: parts[3], digest: parts[4]}, nil
	}
	scheme := schemeForm.FindStringSubmatch(hash)
	if scheme == nil {
		return bcryptSHA256{}, &otherSchemeError{"not recognised"}
	}
	if scheme[1] == "bcrypt-sha256" {
		return bcryptSHA256{}, errMalformedHash
	}
	return bcryptSHA256{}, &otherSchemeError{scheme[1] + scheme[2]}
}
