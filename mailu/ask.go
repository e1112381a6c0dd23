package mailu

import (
	"context"
	"net/http"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

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
		return fields{}, c.failure("not Mailu's answer about a user: "+a.describe(c.words), "see whether api_url is Mailu's API")
	}
	if !rotator.SameAddress(user.Email, c.words.user) {
		return fields{}, c.failure("the answer is about another user", "see whether api_url is Mailu's API, without a cache", c.no)
	}
	c.server.accounts.note(c.words.user, a.body)
	return user, nil
}
