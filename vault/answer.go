package vault

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/internal/netfault"
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

// Statuses of Vault's own (https://developer.hashicorp.com/vault/api-docs#http-status-codes).
const (
	statusDRSecondary        = 472 // of disaster recovery replication
	statusPerformanceStandby = 473
)

func describeStatus(code int) string {
	switch code {
	case statusDRSecondary:
		return "472 (a disaster recovery secondary: use the primary's address)"
	case statusPerformanceStandby:
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
	case code == http.StatusRequestTimeout, code == http.StatusPreconditionFailed, code == http.StatusTooManyRequests, code == statusDRSecondary, code == statusPerformanceStandby:
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
	case http.StatusPreconditionFailed, http.StatusTooManyRequests, statusDRSecondary, statusPerformanceStandby, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusInternalServerError:
		return slices.ContainsFunc(passing, func(phrase string) bool { return says(err, phrase) })
	}
	if other, ok := errors.AsType[*foreignError](err); ok {
		return other.passing
	}
	_, unanswered := errors.AsType[*url.Error](err)
	return errors.Is(err, errLogin) || errors.Is(err, context.DeadlineExceeded) || unanswered && !errors.Is(err, context.Canceled)
}

const (
	fixAddress  = "set vault.address to Vault's API"
	fixNotVault = fixAddress + "; what answers there is not Vault"
	fixTLS      = "see whether Vault's listener offers TLS 1.2 or later"
	fixName     = "set vault.address to a name that this host can resolve"
	fixScheme   = "set vault.address to the scheme that Vault's listener has"
	fixPort     = "see whether Vault's host is up and a firewall lets this host reach the port of vault.address"
)

// fixOf returns the next action if Vault itself did not answer. It is empty if Vault
// answered, or if the cause is unknown.
func fixOf(err error) string {
	if other, ok := errors.AsType[*foreignError](err); ok {
		return other.fix
	}
	if errors.Is(err, errNotHealth) {
		return fixNotVault
	}
	if answer, ok := errors.AsType[*api.ResponseError](err); ok {
		return fixOfAnswer(answer)
	}
	return fixOfFault(netfault.Of(err))
}

// fixOfAnswer recognizes answers of proxies in front of Vault; Vault's own always list
// errors.
func fixOfAnswer(answer *api.ResponseError) string {
	if !answer.RawError && len(answer.Errors) > 0 {
		return ""
	}
	switch code := answer.StatusCode; code {
	case http.StatusBadRequest:
		if strings.Contains(strings.Join(answer.Errors, ""), "HTTPS") { // of Go's server and of nginx
			return fixScheme
		}
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return "let the proxy before Vault pass /v1/ on to Vault without a login of its own"
	case http.StatusNotFound:
		return fixAddress + "; what answers there has no /v1/"
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return "look at the proxy or load balancer before Vault: it does not reach Vault"
	}
	return fmt.Sprintf("see what answers at vault.address with status %d: it is not Vault", answer.StatusCode)
}

func fixOfFault(kind netfault.Kind) string {
	return map[netfault.Kind]string{
		netfault.Untrusted:     "set vault.ca_file to the root that signed Vault's certificate",
		netfault.WrongName:     "set vault.address to a name that Vault's certificate is for",
		netfault.Expired:       "renew Vault's certificate; or set this host's clock, if it is ahead",
		netfault.NotYetValid:   "compare the clocks of this host and of Vault's: by this one the certificate is not valid yet",
		netfault.Certificate:   "replace Vault's certificate",
		netfault.OldTLS:        fixTLS,
		netfault.WantsClient:   "give vault.auth.method cert a certificate that Vault's listener accepts, or let the listener do without one",
		netfault.Handshake:     fixTLS + ", and whether it demands a client certificate",
		netfault.NotTLS:        fixScheme,
		netfault.IsTLS:         fixScheme,
		netfault.UnknownName:   fixName,
		netfault.NoNameService: fixName,
		netfault.Refused:       "on Vault's host: systemctl start vault",
		netfault.Unroutable:    fixPort,
		netfault.TimedOut:      fixPort,
		netfault.Closed:        "see what listens at vault.address: it closes the connection without an answer",
		netfault.Proxy:         "see whether the proxy of HTTPS_PROXY is up, or name Vault's host in NO_PROXY",
	}[kind]
}

// foreignError is an answer that no client of Vault's API wants. The request had no
// effect.
type foreignError struct {
	text       string
	found, fix string // for the doctor
	passing    bool   // a standby's: see [isStandbys]
}

func (e *foreignError) Error() string { return e.text }

// foreign returns a [foreignError] for a redirect and for an HTML page. A redirect is
// never followed: the request holds the token, or the credentials for one.
func foreign(req *http.Request, resp *http.Response) error {
	switch code := resp.StatusCode; {
	case code >= 300 && code < 400:
		place, fix := redirected(req, resp)
		found := fmt.Sprintf("redirected to %s (status %d), which is not followed, as it would get the token or the login", place, code)
		return &foreignError{text: found + ": " + fix, found: found, fix: fix, passing: isStandbys(req, resp)}
	case code >= 200 && code < 300:
		if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); strings.EqualFold(kind, "text/html") {
			const page = "answered with an HTML page (not in vault's form: is vault.address right, or is there a proxy in between?)"
			return &foreignError{text: page, found: page, fix: fixNotVault}
		}
	}
	return nil
}

// isStandbys recognizes the redirect of a standby to the active node. Every standby gives it
// while the leader changes, to the lost leader, and one that is set up not to forward
// always.
func isStandbys(req *http.Request, resp *http.Response) bool {
	to, err := resp.Location()
	return err == nil && resp.StatusCode == http.StatusTemporaryRedirect &&
		strings.HasPrefix(to.Path, "/v1/") && strings.HasSuffix(req.URL.Path, to.Path)
}

// redirected returns scheme and host of the place only: the rest of the address may
// hold text that does not belong in a log.
func redirected(req *http.Request, resp *http.Response) (place, fix string) {
	to, err := resp.Location()
	if err != nil || to.Host == "" {
		return "an unknown place", "see what stands before Vault at vault.address"
	}
	place = to.Scheme + "://" + to.Host
	switch from := req.URL; {
	case to.Hostname() == from.Hostname() && from.Scheme == "http" && to.Scheme == "https":
		return place, "set vault.address to " + place + " if that is Vault"
	case isStandbys(req, resp):
		return place, "list every node in vault.address and vault.other_addresses, or let the load balancer ask /v1/sys/health"
	}
	return place, "set vault.address to Vault itself, or let what stands before it pass /v1/ on to Vault without a login of its own"
}
