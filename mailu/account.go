package mailu

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"

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

// accounts are the users that one [Server] value has seen.
type accounts struct {
	mu    sync.Mutex // guards shown
	shown map[string]account
}

func (a *accounts) note(username string, answer []byte) {
	var shown account
	_ = json.Unmarshal(answer, &shown) // fields that do not fit are left out
	a.put(username, shown)
}

func (a *accounts) put(username string, shown account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.shown == nil {
		a.shown = map[string]account{}
	}
	a.shown[username] = shown
}

func (a *accounts) of(username string) (shown account, found bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	shown, found = a.shown[username]
	return shown, found
}

// Account implements [rotator.Server]. It returns the latest answer about the user,
// with the changes of a push since.
func (s *Server) Account(username string) rotator.Account {
	shown, _ := s.accounts.of(username)
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
		return fields{}, c.failure("not Mailu's answer about a user: "+a.describe(c.sanitizer), "see whether api_url is Mailu's API")
	}
	if !rotator.SameAddress(user.Email, c.sanitizer.user) {
		return fields{}, c.failure("the answer is about another user", "see whether api_url is Mailu's API, without a cache", c.errRefused)
	}
	c.server.accounts.note(c.sanitizer.user, a.body)
	return user, nil
}
