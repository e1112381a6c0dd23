package mailu

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"unicode/utf8"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// SetPassword implements [rotator.Server]. Only Mailu's own "200, code 200"
// counts as done. Each try has the server's timeout; ctx bounds the whole call,
// its turn in the queue and the waits between tries included.
//
// The password must be UTF-8, not empty, since Mailu takes an empty one and
// answers 200, and no longer than passlib's 4096 characters. What it does not send at all it refuses for certain, with
// [rotator.ErrRefused], and so it does once the server is unusable.
func (s *Server) SetPassword(ctx context.Context, username string, password crypto.Secret) error {
	c, err := s.begin("set the password of", rotator.ErrRefused, username, password)
	if err != nil {
		return err
	}
	c.push = true
	if problem := checkPassword(password); problem != "" {
		return c.refuse(problem, "let the rotator make the password")
	}
	// Not wiped afterwards: net/http may still read a body when it has returned.
	body, err := json.Marshal(map[string]string{"raw_password": password.RevealString()})
	if err != nil {
		return c.refuse("the password has no JSON form", "let the rotator make the password")
	}

	a, err := c.do(ctx, http.MethodPatch, c.userPath(), body)
	if err != nil {
		return err
	}
	if fields, isObject := a.object(); !isObject || fields.Code != http.StatusOK {
		return c.failure(fmt.Sprintf("not Mailu's answer to a change: %s", a.describe(c.words)), "see whether api_url is Mailu's API")
	}
	return nil
}

// maxPassword is passlib's limit in characters. Mailu answers 500 above it,
// which would pass for an outcome unknown.
const maxPassword = 4096

// checkPassword refuses what Mailu or JSON would make something else of.
func checkPassword(password crypto.Secret) string {
	switch {
	case password.Empty():
		return "the password is empty"
	case !utf8.Valid(password.Reveal()):
		return "the password is not UTF-8"
	case utf8.RuneCount(password.Reveal()) > maxPassword:
		return "the password is longer than 4096 characters"
	default:
		return ""
	}
}
