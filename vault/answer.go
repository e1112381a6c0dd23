package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/rotator"
)

const maxAnswerText = 300 // characters of Vault's own words in an error

// answerError is an error answer of Vault on one line. Bodies that are not
// Vault's JSON stay out: a proxy's error page may echo the request.
type answerError struct{ answer *api.ResponseError }

func (e *answerError) Error() string {
	text := "vault answered " + describeStatus(e.answer.StatusCode)
	if e.answer.RawError {
		return text + " (not in vault's form: is there a proxy in between?)"
	}
	words := strings.Join(strings.Fields(strings.Join(e.answer.Errors, "; ")), " ")
	if words == "" {
		return text
	}
	if len(words) > maxAnswerText {
		words = words[:maxAnswerText] + "…"
	}
	return text + ": " + strings.ToValidUTF8(words, "")
}

func (e *answerError) Unwrap() error { return e.answer }

// oneLine replaces the API client's many-lined error, if err is just that; what
// wraps one was written here and stays. Of a request that got an answer of somebody
// else, the answer is left.
func oneLine(err error) error {
	if request, ok := err.(*url.Error); ok { //nolint:errorlint // just that
		if answer := foreignOf(request); answer != nil {
			return answer
		}
	}
	if answer, ok := err.(*api.ResponseError); ok { //nolint:errorlint // just that
		return &answerError{answer}
	}
	return err
}

// statusOf is the HTTP status that err reports, or 0.
func statusOf(err error) int {
	if answer, ok := errors.AsType[*api.ResponseError](err); ok {
		return answer.StatusCode
	}
	return 0
}

// isVaults reports whether the error answer is in Vault's form, and not that of a
// proxy in between.
func isVaults(err error) bool {
	answer, ok := errors.AsType[*api.ResponseError](err)
	return ok && !answer.RawError && answer.Errors != nil // Vault lists errors, if only none
}

// isAbsence reports whether Vault said that nothing is there.
func isAbsence(err error) bool { return statusOf(err) == http.StatusNotFound }

// says reports whether Vault's own words contain the phrase.
func says(err error, phrase string) bool {
	answer, ok := errors.AsType[*api.ResponseError](err)
	return ok && !answer.RawError && strings.Contains(strings.Join(answer.Errors, "\n"), phrase)
}

func describeStatus(code int) string {
	switch code {
	case 472:
		return "472 (a disaster recovery secondary: use the primary's address)"
	case 473:
		return "473 (a performance standby: use the active node's address)"
	case http.StatusServiceUnavailable:
		return "503 (sealed, without a leader, or overloaded)"
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code)))
}

// isRefusal reports whether Vault refused for good: asking again the same way
// gives the same answer, and nothing was changed.
func isRefusal(err error) bool {
	switch code := statusOf(err); code {
	case http.StatusRequestTimeout, http.StatusPreconditionFailed, http.StatusTooManyRequests, 472, 473:
		return false
	default:
		return code >= 400 && code < 500
	}
}

// forbid marks a refusal of Vault as [rotator.ErrForbidden].
func forbid(err error) error {
	if isRefusal(err) {
		return fmt.Errorf("%w: %w", rotator.ErrForbidden, err)
	}
	return err
}

// passing are phrases of the errors 500 that Vault answers to every request while
// it, or the storage behind it, has no leader. Any other 500 is about the record
// that was asked for: its storage may be damaged for good.
var passing = []string{"leader", "node not active", "context canceled", "connection refused"}

// unavailable marks an error that says nothing about the record that was asked
// for as [rotator.ErrUnavailable], and leaves its text as it is.
func unavailable(err error) error {
	if isAboutVault(err) {
		return &unavailableError{err}
	}
	return err
}

type unavailableError struct{ error }

func (e *unavailableError) Unwrap() []error { return []error{e.error, rotator.ErrUnavailable} }

// isAboutVault tells what any other request would have met as well. An answer
// that came and cannot be used (too large, not JSON) is about what was asked for.
func isAboutVault(err error) bool {
	switch statusOf(err) {
	case http.StatusTooManyRequests, 472, 473, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusInternalServerError:
		return slices.ContainsFunc(passing, func(phrase string) bool { return says(err, phrase) })
	}
	_, unanswered := errors.AsType[*url.Error](err)
	return errors.Is(err, errLogin) || errors.Is(err, context.DeadlineExceeded) || unanswered && !errors.Is(err, context.Canceled)
}
