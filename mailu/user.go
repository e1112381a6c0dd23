package mailu

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// account is what GET returns about a user beside the hash. A missing field does not
// exist in this release.
type account struct {
	Enabled       *bool `json:"enabled"`
	EnableIMAP    *bool `json:"enable_imap"`
	ChangeAtLogin *bool `json:"change_pw_next_login"` // since 2024.06
}

// accountOf leaves out fields that do not fit.
func accountOf(answer []byte) (shown account) {
	_ = json.Unmarshal(answer, &shown)
	return shown
}

func (s *Server) account(username string) (shown account, found bool) {
	stored, found := s.accounts.Load(username)
	shown, _ = stored.(account)
	return shown, found
}

// Account implements [rotator.Server]. It returns the latest answer about the user,
// with the changes of a push since.
func (s *Server) Account(username string) rotator.Account {
	shown, _ := s.account(username)
	is := func(field *bool, value bool) bool { return field != nil && *field == value }
	return rotator.Account{
		Disabled:      is(shown.Enabled, false),
		NoIMAP:        is(shown.EnableIMAP, false),
		ChangeAtLogin: is(shown.ChangeAtLogin, true),
	}
}

// Knows implements [rotator.Server] with a request for the user. nil means that the
// token is right, the API is on and the user exists; a push may still fail. Its errors
// are those of [Server.SetPassword], and it changes nothing.
func (s *Server) Knows(ctx context.Context, username string) error {
	c, err := s.begin("look up", rotator.ErrRefused, username, crypto.Secret{})
	if err != nil {
		return err
	}
	_, err = c.ask(ctx)
	return err
}

// ask accepts only an answer about exactly this user: after a mix-up in a cache or a
// server it would verify another user's password.
func (c *call) ask(ctx context.Context) (fields, error) {
	a, err := c.do(ctx, http.MethodGet, c.userPath(), nil)
	if err != nil {
		return fields{}, err
	}
	user, isObject := a.object()
	if !isObject {
		return fields{}, c.unexpected("not Mailu's answer about a user", a)
	}
	if !rotator.SameAddress(user.Email, c.sanitizer.user) {
		return fields{}, c.failure("the answer is about another user", "see whether api_url is Mailu's API, without a cache", c.errRefused)
	}
	c.server.accounts.Store(c.sanitizer.user, accountOf(a.body))
	return user, nil
}

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
	c, err := s.beginPush("set the password of", username, password)
	if err != nil {
		return err
	}
	shown, asked := s.account(username)
	if !asked {
		if err := s.Knows(ctx, username); err != nil {
			return err
		}
		shown, _ = s.account(username)
	}
	if shown.ChangeAtLogin != nil {
		// Mailu would make the user choose another password at the next web login, and
		// lock out everyone who reads it from Vault. A PATCH of the password alone
		// leaves the field unchanged.
		shown.ChangeAtLogin = new(bool)
	}
	err = c.change(ctx, http.MethodPatch, c.userPath(), struct {
		Password      string `json:"raw_password"`
		ChangeAtLogin *bool  `json:"change_pw_next_login,omitempty"`
	}{password.RevealString(), shown.ChangeAtLogin}, "not Mailu's answer to a change")
	if err != nil {
		return err
	}
	s.accounts.Store(username, shown)
	return nil
}

// CreateUser creates an enabled user with the password and otherwise Mailu's defaults:
// 1 GB of quota, no administrator rights. Its errors are those of [Server.SetPassword],
// with [rotator.ErrNotCreated] if Mailu reports a conflict.
//
// It is not idempotent: if the user exists, Mailu answers 409, and release 2.0 a 500,
// which leaves the outcome open.
func (s *Server) CreateUser(ctx context.Context, username string, password crypto.Secret) error {
	c, err := s.beginPush("create", username, password)
	if err != nil {
		return err
	}
	c.creation = true
	return c.change(ctx, http.MethodPost, "/user", map[string]string{
		"email": username, "raw_password": password.RevealString(),
		"comment": "made by mailu-rotator", // for Mailu's administrators
	}, "not Mailu's answer to a creation")
}

// beginPush begins a call that changes a password. What it refuses was not sent.
func (s *Server) beginPush(action, username string, password crypto.Secret) (*call, error) {
	c, err := s.begin(action, rotator.ErrRefused, username, password)
	if err != nil {
		return nil, err
	}
	c.push = true
	if err := crypto.CheckPassword(password); err != nil {
		return nil, c.refuse(err.Error(), "let the rotator make the password")
	}
	return c, nil
}

// change sends a password. The body is not wiped afterwards: net/http may still read it
// after it has returned.
func (c *call) change(ctx context.Context, method, path string, content any, otherwise string) error {
	body, _ := json.Marshal(content) // strings always have a JSON form
	a, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	if fields, isObject := a.object(); !isObject || fields.Code != http.StatusOK {
		return c.unexpected(otherwise, a)
	}
	return nil
}

// CanCreateUser checks whether Mailu has the domain of a user to create. Its errors are
// those of [Server.Knows], and it changes nothing.
func (s *Server) CanCreateUser(ctx context.Context, username string) error {
	c, err := s.begin("look up the domain of", rotator.ErrRefused, username, crypto.Secret{})
	if err != nil {
		return err
	}
	c.creation = true
	_, domain, _ := strings.Cut(username, "@")
	a, err := c.do(ctx, http.MethodGet, "/domain/"+url.PathEscape(domain), nil)
	if err != nil {
		return err
	}
	if _, isObject := a.object(); !isObject {
		return c.unexpected("not Mailu's answer about a domain", a)
	}
	return nil
}

// CanCreateUser is [Server.CanCreateUser] on the server of an origin.
func (s *Servers) CanCreateUser(ctx context.Context, origin rotator.Origin, username string) error {
	server, err := s.server(origin)
	if err != nil {
		return err
	}
	return server.CanCreateUser(ctx, username)
}

// CreateUser is [Server.CreateUser] on the server of an origin.
func (s *Servers) CreateUser(ctx context.Context, origin rotator.Origin, username string, password crypto.Secret) error {
	server, err := s.server(origin)
	if err != nil {
		return err
	}
	return server.CreateUser(ctx, username, password)
}
