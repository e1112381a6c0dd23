package vault

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

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
