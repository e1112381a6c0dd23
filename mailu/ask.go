package mailu

import (
	"context"
	"net/http"
	"strings"

	"golang.org/x/net/idna"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// Knows implements [rotator.Server] by asking for the user. nil means that the
// token is right, the API is on and the user exists; a push may still fail. Its
// errors are those of [Server.SetPassword], and it changes nothing.
func (s *Server) Knows(ctx context.Context, username string) error {
	c, err := s.begin("look up", rotator.ErrRefused, username, crypto.Secret{})
	if err != nil {
		return err
	}
	_, err = c.ask(ctx)
	return err
}

// ask takes an answer only about just this user: a cache or a server mixed up
// would prove somebody else's password.
func (c *call) ask(ctx context.Context) (fields, error) {
	a, err := c.do(ctx, http.MethodGet, c.userPath(), nil)
	if err != nil {
		return fields{}, err
	}
	user, isObject := a.object()
	if !isObject {
		return fields{}, c.failure("not Mailu's answer about a user: "+a.describe(c.words), "see whether api_url is Mailu's API")
	}
	if !sameAddress(user.Email, c.words.user) {
		return fields{}, c.failure("the answer is about another user", "see whether api_url is Mailu's API, without a cache", c.no)
	}
	return user, nil
}

// sameAddress ignores case, as Mailu does, and compares domains in their ASCII
// form: Mailu takes either form and answers with the one in Unicode.
func sameAddress(a, b string) bool {
	return strings.EqualFold(withASCIIDomain(a), withASCIIDomain(b))
}

func withASCIIDomain(address string) string {
	local, domain, _ := strings.Cut(address, "@")
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil {
		return address
	}
	return local + "@" + ascii
}
