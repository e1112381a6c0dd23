package mailu

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// SetPassword implements [rotator.Server]. Only Mailu's own "200, code 200" counts as
// done. With the password it clears Mailu's demand for a new one at the next login, if
// the release has that; if the user has not been requested before, it does so first.
// Each try has the server's timeout; ctx bounds the whole call, including its turn in
// the queue and the waits between tries.
//
// The password must pass [crypto.CheckPassword]: Mailu accepts an empty one with 200,
// and above 4096 characters it answers 500, which would count as an unknown outcome. A
// call that sends nothing, including every call after the server became unusable,
// returns [rotator.ErrRefused]: certainly nothing changed.
func (s *Server) SetPassword(ctx context.Context, username string, password crypto.Secret) error {
	c, err := s.begin("set the password of", rotator.ErrRefused, username, password)
	if err != nil {
		return err
	}
	c.push = true
	if err := crypto.CheckPassword(password); err != nil {
		return c.refuse(err.Error(), "let the rotator make the password")
	}
	shown, asked := s.accounts.of(username)
	if !asked {
		if err := s.Knows(ctx, username); err != nil {
			return err
		}
		shown, _ = s.accounts.of(username)
	}
	// Not wiped afterwards: net/http may still read a body after it has returned.
	body, err := json.Marshal(change{Password: password.RevealString(), ChangeAtLogin: ended(shown.ChangeAtLogin)})
	if err != nil {
		return c.refuse("the password has no JSON form", "let the rotator make the password")
	}

	a, err := c.do(ctx, http.MethodPatch, c.userPath(), body)
	if err != nil {
		return err
	}
	if fields, isObject := a.object(); !isObject || fields.Code != http.StatusOK {
		return c.failure(fmt.Sprintf("not Mailu's answer to a change: %s", a.describe(c.sanitizer)), "see whether api_url is Mailu's API")
	}
	shown.ChangeAtLogin = ended(shown.ChangeAtLogin)
	s.accounts.put(username, shown)
	return nil
}

// change is the body of a PATCH.
type change struct {
	Password      string `json:"raw_password"`
	ChangeAtLogin *bool  `json:"change_pw_next_login,omitempty"`
}

// ended returns false if the release has the field: Mailu would make the user choose
// another password at the next web login, and lock out everyone who reads it from
// Vault. A PATCH of the password leaves the field unchanged.
func ended(shown *bool) *bool {
	if shown == nil {
		return nil
	}
	return new(bool)
}
