package monitor

import (
	"crypto/sha256"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// Whatever a request claims, only the token opens protected pages, and only a loopback
// name opens unprotected ones.
func FuzzGuard(f *testing.F) {
	const token = "shown-by-callers"
	for _, authorization := range []string{"Bearer " + token, "bearer " + token, "Basic OnNob3duLWJ5LWNhbGxlcnM=", "Basic !", "Bearer", "Bearer  " + token, token, "Basic " + token} {
		f.Add(authorization, "localhost:9180")
	}
	for _, name := range []string{"127.0.0.1", "[::1]:1", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "[::ffff:127.0.0.1]", "::1", "", "[", "0177.0.0.1", "127.1", "localhost:x:y"} {
		f.Add("", name)
	}
	digest := sha256.Sum256([]byte(token))
	shown := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	closed, open := guard("tcp", digest[:], shown), guard("tcp", nil, shown)
	f.Fuzz(func(t *testing.T, authorization, name string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", authorization)
		r.Host = name

		ask := func(h http.Handler) bool {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code == http.StatusNoContent
		}

		_, password, _ := r.BasicAuth()
		if opened := ask(closed); opened && password != token && !strings.HasSuffix(authorization, " "+token) {
			t.Errorf("%q opens", authorization)
		}
		if ask(open) && !isOfThisHost(name) {
			t.Errorf("%q passes for this host", name)
		}
	})
}

// isOfThisHost is a second implementation of the check of the Host header.
func isOfThisHost(name string) bool {
	host := name
	if h, _, err := net.SplitHostPort(name); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	addr, err := netip.ParseAddr(host)
	return strings.ToLower(host) == "localhost" || err == nil && addr.Unmap().IsLoopback()
}
