package mailu

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/crypto/bcrypt"

	"mailu-rotator/crypto"
)

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

// maxRounds bounds the time that a server can make this host spend on one answer: 2 s
// at 15, but a day and a half at bcrypt's own limit of 31.
const maxRounds = 15

// otherSchemeError names a hash's scheme and nothing else from it.
type otherSchemeError struct{ scheme string }

func (e *otherSchemeError) Error() string { return "hash of scheme " + e.scheme }

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

// parseHash accepts one spelling only. Passlib writes no other, and a lenient reader
// would have to guess which salt went into the HMAC.
func parseHash(hash string) (bcryptSHA256, error) {
	rest, ours := strings.CutPrefix(hash, "$bcrypt-sha256$")
	if !ours {
		return bcryptSHA256{}, &otherSchemeError{scheme: schemeOf(hash)}
	}
	parts := strings.Split(rest, "$")
	if len(parts) != 3 {
		return bcryptSHA256{}, errMalformedHash
	}
	variant, rounds, valid := parseParameters(parts[0])
	if !valid || !isBcrypt64(parts[1], 22, 4) || !isBcrypt64(parts[2], 31, 2) {
		return bcryptSHA256{}, errMalformedHash
	}
	return bcryptSHA256{variant: variant, rounds: rounds, salt: parts[1], digest: parts[2]}, nil
}

func parseParameters(s string) (variant string, rounds int, valid bool) {
	s, version2 := strings.CutPrefix(s, "v=2,t=")
	variant, digits, complete := strings.Cut(s, ",r=")
	rounds, err := strconv.Atoi(digits)
	valid = version2 && complete && err == nil &&
		slices.Contains([]string{"2a", "2b", "2y"}, variant) &&
		rounds >= bcrypt.MinCost && rounds <= maxRounds &&
		digits == strconv.Itoa(rounds) // no sign, no leading zero
	return variant, rounds, valid
}

// isBcrypt64 reports whether s has the given length and bcrypt's alphabet, and ends in
// that many zero bits of padding.
func isBcrypt64(s string, length, padding int) bool {
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	if len(s) != length || strings.Trim(s, alphabet) != "" {
		return false
	}
	return strings.IndexByte(alphabet, s[length-1])%(1<<padding) == 0
}

// schemeOf returns the name in front, as passlib ($name$…) or Dovecot ({NAME}…) writes
// it, if it looks like one.
func schemeOf(hash string) string {
	const longest = 20
	rest, opened := strings.CutPrefix(hash, "$")
	closing := "$"
	if !opened {
		rest, opened = strings.CutPrefix(hash, "{")
		closing = "}"
	}
	name, _, closed := strings.Cut(rest, closing)
	strange := func(r rune) bool {
		return r > '~' || r != '-' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}
	if !opened || !closed || name == "" || len(name) > longest || strings.ContainsFunc(name, strange) {
		return "not recognised"
	}
	return name
}
