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

// answerError is an error answer of Vault on one line. It excludes bodies that are not
// Vault's JSON: a proxy's error page may echo the request.
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

// oneLine replaces the API client's multi-line error, if err is exactly that; errors
// that wrap one were written here and stay. For an answer that is not Vault's, it keeps
// the answer and drops the request.
func oneLine(err error) error {
	switch e := err.(type) { //nolint:errorlint // just that
	case *url.Error:
		if other, ok := errors.AsType[*foreignError](e); ok {
			return other
		}
	case *api.ResponseError:
		return &answerError{e}
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

// isVaults reports whether the error answer is in Vault's form, not a proxy's.
func isVaults(err error) bool {
	answer, ok := errors.AsType[*api.ResponseError](err)
	return ok && !answer.RawError && answer.Errors != nil // Vault always lists errors, if only an empty list
}

// says reports whether Vault's own words contain the phrase.
func says(err error, phrase string) bool {
	answer, ok := errors.AsType[*api.ResponseError](err)
	return ok && !answer.RawError && strings.Contains(strings.Join(answer.Errors, "\n"), phrase)
}

// textOf returns a field of an answer, or "" without such text.
func textOf(answer *api.Secret, field string) string {
	if answer == nil {
		return ""
	}
	text, _ := answer.Data[field].(string)
	return text
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

// forbid marks a permanent refusal by Vault as [rotator.ErrForbidden]: the same request
// gets the same answer, and nothing was changed.
func forbid(err error) error {
	switch code := statusOf(err); {
	case code < 400, code >= 500:
	case code == http.StatusRequestTimeout, code == http.StatusPreconditionFailed, code == http.StatusTooManyRequests, code == 472, code == 473:
	default:
		return fmt.Errorf("%w: %w", rotator.ErrForbidden, err)
	}
	return err
}

// passing lists phrases of the 500 errors with which Vault answers every request while
// it, or the storage behind it, has no leader. Any other 500 concerns the requested
// record: its storage may be permanently damaged.
var passing = []string{"leader", "node not active", "context canceled", "connection refused"}

// unavailable marks an error that says nothing about the requested record as
// [rotator.ErrUnavailable], and keeps its text.
func unavailable(err error) error {
	if isAboutVault(err) {
		return &unavailableError{err}
	}
	return err
}

type unavailableError struct{ error }

func (e *unavailableError) Unwrap() []error { return []error{e.error, rotator.ErrUnavailable} }

// isAboutVault reports whether any other request would have failed in the same way. An
// unusable answer (too large, not JSON) concerns the requested record.
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
