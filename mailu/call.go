package mailu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

const maxTries = 3 // of one call; the run and the next one have their own

// wait returns the pause after that many tries: it doubles each time, with a jitter of
// up to half, so that callers that failed together do not retry together, but is at
// least the one that the server asked for. It is false if that is longer than a call can
// wait.
func (o Options) wait(tries int, asked time.Duration) (time.Duration, bool) {
	wait := o.RetryWait << (tries - 1)
	wait = min(wait+rand.N(wait/2+1), o.MaxRetryWait)
	return max(wait, asked), asked <= o.MaxRetryWait
}

// call is one call of a method: one request, sent at most maxTries times. It never has
// the token, which [Server.attempt] adds.
type call struct {
	server     *Server
	action     string // "set the password of"
	push       bool   // can change the password
	creation   bool   // creates the user
	once       bool   // no further try, whatever the answer
	errRefused error  // the error for a certain refusal of this call: ErrRefused or ErrUnverifiable
	sanitizer  sanitizer

	tries   int
	certain bool // every attempt so far certainly changed nothing
	last    verdict
	earlier string // cause of the attempt before the last
}

// begin refuses an unusable username before any other error is possible.
func (s *Server) begin(action string, errRefused error, username string, password crypto.Secret) (*call, error) {
	c := &call{server: s, action: action, errRefused: errRefused, sanitizer: s.sanitizer(username, password), certain: true}
	if _, err := rotator.ParseAddress(username); err != nil {
		c.sanitizer.user = "a user" // the error shows which one
		return nil, c.refuse(err.Error(), "correct the username in Vault")
	}
	return c, nil
}

func (c *call) userPath() string { return "/user/" + url.PathEscape(c.sanitizer.user) }

// do sends the request until it is accepted or not worth another try.
func (c *call) do(ctx context.Context, method, path string, body []byte) (answer, error) {
	for {
		req, err := c.request(ctx, method, path, body)
		if err != nil {
			return answer{}, c.refuse(fmt.Sprintf("no valid request to %s", c.server.host), "correct api_url")
		}
		c.tries++
		c.earlier = c.last.cause
		c.last = c.server.attempt(req, c.sanitizer)
		if c.last.accepted {
			return c.last.answer, nil
		}
		if c.creation {
			c.last = c.last.ofCreation(c.sanitizer)
		}
		// A 200 with a refusal in its body counts as a refusal only of a question.
		c.certain = c.certain && c.last.certain && c.last.answer.status != http.StatusOK
		wait, again := c.worthAnother(ctx)
		if !again {
			return answer{}, c.failed(ctx.Err())
		}
		select {
		case <-ctx.Done():
			return answer{}, c.failed(ctx.Err())
		case <-time.After(wait):
		}
	}
}

// request returns a new request for each try, since net/http may still read the body of
// the one before.
func (c *call) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.server.api+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.server.options.UserAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// worthAnother returns the wait before the next try, or false if the wait would
// exceed the call's deadline.
func (c *call) worthAnother(ctx context.Context) (time.Duration, bool) {
	if c.once || !c.last.again || c.tries == maxTries {
		return 0, false
	}
	wait, short := c.server.options.wait(c.tries, c.last.pause)
	deadline, set := ctx.Deadline()
	return wait, short && (!set || time.Until(deadline) > wait)
}

// failed returns the error of a call whose last attempt was not accepted; ended is the
// context's error, if it has ended.
func (c *call) failed(ended error) error {
	f := c.failure(c.last.cause, c.last.next, c.last.kinds...)
	if c.tries > 1 {
		f.cause = fmt.Sprintf("%s (try %d; the one before: %s)", f.cause, c.tries, c.earlier)
	}
	if ended != nil && !errors.Is(f, ended) {
		f.cause += "; then the time of this call ran out"
		f.kinds = append(f.kinds, ended)
	}
	switch {
	case c.last.is(rotator.ErrServerUnusable) && errors.Is(c.errRefused, rotator.ErrUnverifiable): // nothing was learned about the hash
	case c.last.certain && (c.certain || !c.push): // of a push every try: a later refusal does not undo the effect of an earlier one
		f.kinds = append(f.kinds, c.errRefused)
	case c.last.limited:
		return &rotator.RateLimitedError{After: c.last.pause, Err: f}
	}
	return f
}

// refuse returns the error of a call whose arguments prevent sending it.
func (c *call) refuse(cause, next string) error {
	return c.failure("not sent, since "+cause, next, c.errRefused)
}

// unexpected returns the error of an answer that is not what Mailu would have answered.
func (c *call) unexpected(what string, a answer) error {
	return c.failure(what+": "+a.describe(c.sanitizer), "see whether api_url is Mailu's API")
}

func (c *call) failure(cause, next string, kinds ...error) *failure {
	return &failure{
		action: c.action, user: c.sanitizer.user, origin: c.server.config.Origin,
		cause: cause, next: next, kinds: append([]error(nil), kinds...),
	}
}

// failure is every error of a [Server]: one sentence for the operator, and the errors
// on which the domain branches.
type failure struct {
	action, user string
	origin       rotator.Origin
	cause, next  string
	kinds        []error
}

func (f *failure) Error() string {
	return fmt.Sprintf("%s %s at %s: %s: %s", f.action, f.user, f.origin, f.cause, f.next)
}

func (f *failure) Unwrap() []error { return f.kinds }
