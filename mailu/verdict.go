package mailu

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"mailu-rotator/internal/netfault"
	"mailu-rotator/internal/peer"
	"mailu-rotator/rotator"
)

// verdict is the result of one attempt. The zero verdict is the careful one: the
// request may have taken effect and is not sent again.
type verdict struct {
	accepted bool
	answer   answer // zero if there was none

	proves     bool // Mailu has accepted the token
	wrongToken bool // Mailu has refused and counted the token
	page       bool // a 404 with a page: the API is off, unless it has answered before
	misplaced  bool // this api_url leads to no API; another one of the same host may

	certain bool          // certainly nothing was changed
	again   bool          // worth another try
	limited bool          // the server asked for a pause
	pause   time.Duration // its length, or 0

	cause, next string
	kinds       []error // the error's kinds, for errors.Is and errors.As
}

func (v verdict) is(kind error) bool { return errors.Is(errors.Join(v.kinds...), kind) }

// UnknownUserError says that a server has no such user. It comes with
// [rotator.ErrUnverifiable] from a proof and with [rotator.ErrRefused] otherwise.
type UnknownUserError struct{ Username string }

func (e *UnknownUserError) Unwrap() error { return rotator.ErrUnknownUser }

func (e *UnknownUserError) Error() string {
	return fmt.Sprintf("user %s unknown to this server", e.Username)
}

// judge uses the status, or the code in the body of a 200. A refusal is certain only in
// Mailu's own form: Mailu answers no 4xx after an effect, but a device in front of it
// may have passed the request on, and Mailu may still be processing it. A plain 500 is
// not sent again: Mailu's usual ones repeat (an empty API_TOKEN, in 2.0 an invalid
// address), and one from the database comes after the user's sessions were ended.
func judge(a answer, sanitizer sanitizer) verdict {
	v := verdict{answer: a, cause: a.describe(sanitizer), proves: a.afterToken()}
	code := a.code()
	switch {
	case code == http.StatusOK:
		return verdict{accepted: true, answer: a, proves: v.proves}
	case code == http.StatusUnauthorized || a.refusesToken():
		v.unauthorised(a)
	case code == http.StatusNotFound:
		v.notFound(a, sanitizer)
	case code == http.StatusTooManyRequests:
		v.again, v.limited = true, true
		v.pause, _ = peer.RetryAfter(a.header)
		v.next = "wait: after five wrong tokens Mailu blocks an address for an hour"
	case code == http.StatusRequestTimeout:
		v.next = askLater
	case code >= 400 && code < 500 && a.fromMailu():
		v.certain = true
		v.next = "correct the username in Vault, or see the log of Mailu's admin"
	case code >= 400 && code < 500:
		v.intercepted()
	case code >= 300 && code < 400:
		v.redirected(a, sanitizer)
	case code == http.StatusBadGateway, code == http.StatusServiceUnavailable, code == http.StatusGatewayTimeout:
		v.again = true
		v.pause, v.limited = peer.RetryAfter(a.header)
		v.next = askLater
	case code >= 500:
		v.kinds = []error{rotator.ErrServerFailed}
		v.next = askLater
	default:
		v.next = "see whether api_url is Mailu's API"
	}
	return v
}

const askLater = "see the log of Mailu's admin if it lasts; the next run goes on from here"

// unauthorised closes the server for every refusal of the token, and for any 401: a
// device that demands another login does so for all requests.
func (v *verdict) unauthorised(a answer) {
	v.kinds = []error{rotator.ErrServerUnusable}
	v.certain = a.fromMailu()
	v.wrongToken = v.certain && a.status == http.StatusForbidden
	v.next = "look for a proxy that takes the authorization header away, or wants a login of its own"
	if v.wrongToken {
		v.next = "compare the server's token with Mailu's API_TOKEN"
	}
}

// intercepted is a refusal that is not Mailu's: it says nothing about the token, about
// other users, or about whether Mailu has received the request.
func (v *verdict) intercepted() {
	v.misplaced = false
	v.kinds = []error{rotator.ErrIntercepted}
	v.cause = "answered by something in front of Mailu, " + v.cause
	v.next = "look for a firewall or proxy in front of Mailu that refuses requests about this user, and see whether api_url is Mailu's API"
}

// notFound distinguishes three answers that share a status: Mailu's about the user,
// another JSON service's, and the page of a server without the API.
func (v *verdict) notFound(a answer, sanitizer sanitizer) {
	_, isObject := a.object()
	switch {
	case a.afterToken():
		unknown := &UnknownUserError{Username: sanitizer.user}
		v.certain = true
		v.kinds = []error{unknown}
		v.cause = unknown.Error()
		v.next = "create the user in Mailu, or correct the username in Vault"
	case isObject || a.claimsJSON():
		v.intercepted()
	default:
		v.page, v.misplaced = true, true
		v.kinds = []error{rotator.ErrServerUnusable}
		v.next = "enable Mailu's API (API=true and API_TOKEN), or set api_url"
	}
}

// redirected: Mailu's API redirects no request, so the API is off, or is not at this
// URL. All requests would get this answer.
func (v *verdict) redirected(a answer, sanitizer sanitizer) {
	v.misplaced = true
	v.kinds = []error{rotator.ErrServerUnusable}
	v.next = "set api_url to where the API is, or enable it (API=true): Mailu's front redirects to the webmail where it is off"
	location := a.header.Get("Location")
	target, err := a.asked.Parse(location)
	if err != nil || location == "" {
		v.cause = fmt.Sprintf("status %d: a redirect to nowhere, not followed", a.status)
		return
	}
	// No user, query or fragment: they may contain anything.
	place := func(path string) string {
		return sanitizer.clean((&url.URL{Scheme: target.Scheme, Host: target.Host, Path: path}).String())
	}
	v.cause = fmt.Sprintf("status %d: a redirect to %s, not followed", a.status, place(target.Path))
	api, moved := apiBefore(target.Path)
	switch {
	case !moved:
	case target.Hostname() != a.asked.Hostname():
		v.next = "if that server is yours, set api_url to " + place(api)
	case target.Scheme == "https" && a.asked.Scheme == "http":
		v.next = "use https: set api_url to " + place(api)
	default:
		v.next = "set api_url to " + place(api)
	}
}

// apiBefore returns the part of a path before what this package's requests add.
func apiBefore(path string) (api string, found bool) {
	for _, resource := range []string{"/user", "/domain"} {
		if at := strings.LastIndex(path+"/", resource+"/"); at >= 0 {
			return path[:at], true
		}
	}
	return "", false
}

// ofCreation adapts verdicts to the creation of a user: there the unknown object is the
// domain.
func (v verdict) ofCreation(sanitizer sanitizer) verdict {
	code := v.answer.code()
	switch {
	case v.is(rotator.ErrUnknownUser):
		v.cause, v.kinds = v.answer.describe(sanitizer), nil
		v.next = "create the domain in Mailu first, or correct the user"
	case !v.certain: // not an answer of Mailu
	case code == http.StatusBadRequest:
		v.next = "correct the user, or see the log of Mailu's admin"
	case code == http.StatusConflict:
		v.kinds = append(v.kinds, rotator.ErrNotCreated)
		v.next = "see whether Mailu has the user, and how many its domain may have"
	}
	return v
}

func disabled(reason string) verdict {
	return verdict{
		certain: true,
		cause:   "not sent, since earlier in this run the server answered " + reason,
		next:    "fix that first",
		kinds:   []error{rotator.ErrServerUnusable},
	}
}

func queueTimeout(err error, size int) verdict {
	return verdict{
		cause: fmt.Sprintf("not sent, since the time ran out in the queue of %d at a time", size),
		next:  "the next run goes on from here",
		kinds: []error{err},
	}
}

// broken judges an attempt without a complete answer. It keeps the error's sanitized
// text, but not the error: a server can make net/http quote what it sent.
func (s *Server) broken(parent, ctx context.Context, err error, sanitizer sanitizer) verdict {
	switch {
	case parent.Err() != nil:
		return verdict{
			cause: "no answer before the time of this call ran out",
			next:  "the next run goes on from here",
			kinds: []error{parent.Err()},
		}
	case errors.Is(err, errTooLarge):
		return verdict{
			cause: errTooLarge.Error(),
			next:  "see whether api_url is Mailu's API",
		}
	case ctx.Err() != nil:
		return verdict{
			again: true,
			cause: fmt.Sprintf("no answer within %s", s.config.Timeout),
			next:  "see whether Mailu's admin is overloaded, or raise the server's timeout",
		}
	}
	next, again := adviseOn(err)
	return verdict{again: again, cause: sanitizer.clean(err.Error()), next: next}
}

// adviseOn returns the next action after a network error, and whether a retry within
// seconds can help.
func adviseOn(err error) (next string, again bool) {
	const (
		renew     = "renew or replace the server's certificate"
		handshake = "see whether the server wants a client certificate, which is not sent, and offers TLS 1.2 or later"
		name      = "see whether the name in origin or api_url is right and resolves on this host"
	)
	kind := netfault.Of(err)
	lasting := map[netfault.Kind]string{
		netfault.Untrusted:   "set ca_file to the root that signed the server's certificate",
		netfault.WrongName:   "make the name in origin or api_url one that the server's certificate is for",
		netfault.NotYetValid: "compare this host's clock with the server's: its certificate is not valid yet",
		netfault.Expired:     renew,
		netfault.Certificate: renew,
		netfault.NotTLS:      "see whether the port in origin or api_url is the one for TLS",
		netfault.OldTLS:      "see whether the server offers TLS 1.2 or later",
		netfault.WantsClient: handshake,
		netfault.Handshake:   handshake,
		netfault.UnknownName: name,
	}
	if next, found := lasting[kind]; found {
		return next, false
	}
	switch kind {
	case netfault.NoNameService:
		return name, true
	case netfault.Refused:
		return "see whether Mailu is up and the port is right", true
	}
	return "see whether the server and the network to it are up; the next run goes on from here", true
}
