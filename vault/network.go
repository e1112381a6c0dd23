package vault

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/internal/netfault"
)

const (
	fixAddress = "set vault.address to Vault's API"
	fixProxy   = "look at the proxy or load balancer before Vault: it does not reach Vault"
	fixTLS     = "see whether Vault's listener offers TLS 1.2 or later"
	fixName    = "set vault.address to a name that this host can resolve"
	fixScheme  = "set vault.address to the scheme that Vault's listener has"
)

// fixOf returns the next action if Vault itself did not answer. It is empty if Vault
// answered, or if the cause is unknown.
func fixOf(err error) string {
	if redirect, ok := errors.AsType[*redirectError](err); ok {
		return redirect.fix()
	}
	if errors.Is(err, errPage) || errors.Is(err, errNotHealth) {
		return fixAddress + "; what answers there is not Vault"
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
		return fixProxy
	}
	return fmt.Sprintf("see what answers at vault.address with status %d: it is not Vault", answer.StatusCode)
}

func fixOfFault(kind netfault.Kind) string {
	switch kind {
	case netfault.Untrusted:
		return "set vault.ca_file to the root that signed Vault's certificate"
	case netfault.WrongName:
		return "set vault.address to a name that Vault's certificate is for"
	case netfault.Expired:
		return "renew Vault's certificate; or set this host's clock, if it is ahead"
	case netfault.NotYetValid:
		return "compare the clocks of this host and of Vault's: by this one the certificate is not valid yet"
	case netfault.Certificate:
		return "replace Vault's certificate"
	case netfault.OldTLS:
		return fixTLS
	case netfault.WantsClient:
		return "give vault.auth.method cert a certificate that Vault's listener accepts, or let the listener do without one"
	case netfault.Handshake:
		return fixTLS + ", and whether it demands a client certificate"
	case netfault.NotTLS, netfault.IsTLS:
		return fixScheme
	case netfault.UnknownName, netfault.NoNameService:
		return fixName
	case netfault.Refused:
		return "on Vault's host: systemctl start vault"
	case netfault.Unroutable, netfault.TimedOut:
		return "see whether Vault's host is up and a firewall lets this host reach the port of vault.address"
	case netfault.Closed:
		return "see what listens at vault.address: it closes the connection without an answer"
	case netfault.Proxy:
		return "see whether the proxy of HTTPS_PROXY is up, or name Vault's host in NO_PROXY"
	}
	return ""
}

// redirectError is an answer that redirects the request. It is never followed: the
// request holds the token, or the credentials for one.
type redirectError struct {
	status int
	from   *url.URL // the requested URL
	to     *url.URL // nil if the answer has none, or an unreadable one
}

func (e *redirectError) Error() string { return e.found() + ": " + e.fix() }

func (e *redirectError) found() string {
	return fmt.Sprintf("redirected to %s (status %d), which is not followed, as it would get the token or the login", e.host(), e.status)
}

// host omits the rest of the address, which may hold text that does not belong in a
// log.
func (e *redirectError) host() string {
	if e.to == nil {
		return "an unknown place"
	}
	return e.to.Scheme + "://" + e.to.Host
}

func (e *redirectError) fix() string {
	switch {
	case e.to == nil:
		return "see what stands before Vault at vault.address"
	case e.to.Hostname() == e.from.Hostname() && e.from.Scheme == "http" && e.to.Scheme == "https":
		return "set vault.address to " + e.host() + " if that is Vault"
	case e.to.Path == e.from.Path: // as a standby that cannot forward redirects clients to the active node
		return "set vault.address to the active node, or to a load balancer that leads to it"
	}
	return "set vault.address to Vault itself, or let what stands before it pass /v1/ on to Vault without a login of its own"
}

// errPage is an HTML page where Vault's API answers JSON.
var errPage = errors.New("answered with an HTML page (not in vault's form: is vault.address right, or is there a proxy in between?)")

// foreign returns an error for answers that Vault's API never gives.
func foreign(req *http.Request, resp *http.Response) error {
	switch code := resp.StatusCode; {
	case code >= 300 && code < 400:
		to, err := resp.Location()
		if err != nil || to.Host == "" {
			to = nil
		}
		return &redirectError{status: code, from: req.URL, to: to}
	case code >= 200 && code < 300 && isPage(resp.Header.Get("Content-Type")):
		return errPage
	}
	return nil
}

func isPage(contentType string) bool {
	kind, _, _ := mime.ParseMediaType(contentType)
	return strings.EqualFold(kind, "text/html")
}

// foreignOf returns the error of [foreign] that err wraps, or nil. Such an error is
// permanent, and the request had no effect.
func foreignOf(err error) error {
	if redirect, ok := errors.AsType[*redirectError](err); ok {
		return redirect
	}
	if errors.Is(err, errPage) {
		return errPage
	}
	return nil
}
