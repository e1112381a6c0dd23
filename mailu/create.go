package mailu

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// newUserComment tells Mailu's administrators who created the user.
const newUserComment = "made by mailu-rotator"

// CreateUser creates an enabled user with the password and otherwise Mailu's defaults:
// 1 GB of quota, no administrator rights. Its errors are those of [Server.SetPassword],
// with [rotator.ErrNotCreated] if Mailu reports a conflict.
//
// It is not idempotent: if the user exists, Mailu answers 409, and release 2.0 a 500,
// which leaves the outcome open.
func (s *Server) CreateUser(ctx context.Context, username string, password crypto.Secret) error {
	c, err := s.begin("create", rotator.ErrRefused, username, password)
	if err != nil {
		return err
	}
	c.push, c.creation = true, true
	if err := crypto.CheckPassword(password); err != nil {
		return c.refuse(err.Error(), "let the rotator make the password")
	}
	// Not wiped afterwards, as in SetPassword.
	body, err := json.Marshal(map[string]string{"email": username, "raw_password": password.RevealString(), "comment": newUserComment})
	if err != nil {
		return c.refuse("the password has no JSON form", "let the rotator make the password")
	}

	a, err := c.do(ctx, http.MethodPost, "/user", body)
	if err != nil {
		return err
	}
	if fields, isObject := a.object(); !isObject || fields.Code != http.StatusOK {
		return c.failure(fmt.Sprintf("not Mailu's answer to a creation: %s", a.describe(c.sanitizer)), "see whether api_url is Mailu's API")
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
		return c.failure("not Mailu's answer about a domain: "+a.describe(c.sanitizer), "see whether api_url is Mailu's API")
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

// ofCreation adapts verdicts to the creation of a user: there the unknown object is the
// domain.
func (v verdict) ofCreation(sanitizer sanitizer) verdict {
	switch {
	case v.is(rotator.ErrUnknownUser):
		v.cause, v.kinds = v.answer.describe(sanitizer), nil
		v.next = "create the domain in Mailu first, or correct the user"
	case !v.certain: // not an answer of Mailu
	case v.status == http.StatusBadRequest:
		v.next = "correct the user, or see the log of Mailu's admin"
	case v.status == http.StatusConflict:
		v.kinds = append(v.kinds, rotator.ErrNotCreated)
		v.next = "see whether Mailu has the user, and how many its domain may have"
	}
	return v
}
