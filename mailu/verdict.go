package mailu

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mailu-rotator/rotator"
)

// maxRetryAfter bounds what a server can ask for; Mailu's own block is an hour.
const maxRetryAfter = time.Hour

// verdict is what one attempt comes to. The zero verdict is the careful one:
// the request may have taken effect and is not sent again.
type verdict struct {
	accepted bool
	answer   answer               // zero where there was none
	status   int                  // see answer.code; 0 where there was no answer
	tls      *tls.ConnectionState // nil without TLS

	certain bool           // nothing was changed, for sure
	again   bool           // worth another try
	limited bool           // the server asked for a pause
	pause   *time.Duration // how long, if it said so

	cause, next string
	kinds       []error // what the error is, for errors.Is and errors.As
}

func (v verdict) pauseOrZero() time.Duration {
	if v.pause == nil {
		return 0
	}
	return *v.pause
}

func (v verdict) is(kind error) bool { return errors.Is(errors.Join(v.kinds...), kind) }

// UnknownUserError says that a server has no such user. It comes with
// [rotator.ErrUnverifiable] from a proof and with [rotator.ErrRefused] otherwise.
type UnknownUserError struct {
	Username string
}

// Unwrap makes it a [rotator.ErrUnknownUser].
func (e *UnknownUserError) Unwrap() error { return rotator.ErrUnknownUser }

// Error names the user; the errors that hold this one name the server.
func (e *UnknownUserError) Error() string {
	return fmt.Sprintf("user %s unknown to this server", e.Username)
}

// judge reads the status first, or what the body of a 200 says instead: of the 4xx only 408 and 429 can come from
// something that has let the request through. A plain 500 is not sent again: the
// usual ones of Mailu repeat (an address it finds invalid, an empty API_TOKEN),
// and one from the database came after the user's sessions were ended.
func judge(a answer, words wording) verdict {
	v := verdict{answer: a, cause: a.describe(words)}
	code := a.code()
	switch {
	case code == http.StatusOK:
		return verdict{accepted: true, answer: a}
	case code == http.StatusUnauthorized:
		v.refuse(rotator.ErrServerUnusable)
		v.next = "look for a proxy that takes the authorization header away"
	case code == http.StatusForbidden:
		v.refuse(rotator.ErrServerUnusable)
		v.next = "compare the server's token with Mailu's API_TOKEN, and look for a firewall in between"
	case code == http.StatusNotFound:
		v.notFound(a, words)
	case code == http.StatusTooManyRequests:
		v.again, v.limited, v.pause = true, true, retryAfter(a.header)
		v.next = "wait: after five wrong tokens Mailu blocks an address for an hour"
	case code == http.StatusRequestTimeout:
		v.next = askLater
	case code >= 400 && code < 500:
		v.refuse()
		v.next = "correct the username in Vault, or see the log of Mailu's admin"
	case code >= 300 && code < 400:
		v.cause = fmt.Sprintf("status %d: a redirect to %s, not followed", a.status, words.clean(redirectHost(a.header)))
		v.next = "set api_url to where the API really is, or enable it (API=true): Mailu's front redirects to the webmail where it is off"
	case code == http.StatusBadGateway, code == http.StatusServiceUnavailable, code == http.StatusGatewayTimeout:
		v.again, v.pause = true, retryAfter(a.header)
		v.limited = v.pause != nil
		v.next = askLater
	case code >= 500:
		v.next = askLater
	default:
		v.next = "see whether api_url is Mailu's API"
	}
	return v
}

const askLater = "see the log of Mailu's admin if it lasts; the next run goes on from here"

func (v *verdict) refuse(kinds ...error) {
	v.certain = true
	v.kinds = kinds
}

// notFound tells three answers apart that share a status: Mailu's about the
// user, another JSON service's, and the page of a server without the API.
func (v *verdict) notFound(a answer, words wording) {
	fields, isObject := a.object()
	switch {
	case isObject && fields.Code == http.StatusNotFound:
		unknown := &UnknownUserError{Username: words.user}
		v.refuse(unknown)
		v.cause = unknown.Error()
		v.next = "create the user in Mailu, or correct the username in Vault"
	case isObject || a.claimsJSON():
		v.refuse()
		v.next = "see whether api_url is Mailu's API"
	default:
		v.refuse(rotator.ErrServerUnusable)
		v.next = "enable Mailu's API (API=true and API_TOKEN), or set api_url"
	}
}

func latched(reason string) verdict {
	return verdict{
		certain: true,
		cause:   "not sent, since earlier in this run the server answered " + reason,
		next:    "mend that first",
		kinds:   []error{rotator.ErrServerUnusable},
	}
}

func neverItsTurn(err error, size int) verdict {
	return verdict{
		cause: fmt.Sprintf("not sent, since the time ran out in the queue of %d at a time", size),
		next:  "the next run goes on from here",
		kinds: []error{err},
	}
}

// retryAfter reads seconds or an HTTP date (RFC 9110, section 10.2.3); nil if
// there is neither.
func retryAfter(h http.Header) *time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	var after time.Duration
	seconds, err := strconv.ParseInt(value, 10, 64)
	switch {
	case err == nil:
		after = time.Duration(min(max(seconds, 0), int64(maxRetryAfter/time.Second))) * time.Second
	case errors.Is(err, strconv.ErrRange) && !strings.HasPrefix(value, "-"):
		after = maxRetryAfter
	default:
		date, err := http.ParseTime(value)
		if err != nil {
			return nil
		}
		after = min(max(time.Until(date), 0), maxRetryAfter)
	}
	return &after
}

// redirectHost keeps the path and query to itself: they may carry anything.
func redirectHost(h http.Header) string {
	u, err := url.Parse(h.Get("Location"))
	switch {
	case err != nil || h.Get("Location") == "":
		return "nowhere"
	case u.Host == "":
		return "another path of the same host"
	default:
		return u.Host
	}
}
