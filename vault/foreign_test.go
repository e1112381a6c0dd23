package vault_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/test/faultproxy"
	"mailu-rotator/vault"
)

// elsewhere is another host, which must receive no request.
func elsewhere(t *testing.T) (url string, asked *atomic.Int32) {
	t.Helper()
	asked = &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(server.Close)
	return server.URL, asked
}

func TestNoCallFollowsARedirect(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	host, asked := elsewhere(t)
	auth := f.appRole(t, nil)
	wrapped := auth
	wrapped.SecretIDWrapped = true
	wrapped.SecretIDFile = file(t, "wrapped", f.wrap(t, "auth/approle/role/rotator/secret-id", nil))
	calls := map[string]struct {
		method, path string
		auth         vault.Auth
	}{
		"login":        {"PUT", loginOf, auth},
		"given token":  {"GET", lookupOf, f.rootAuth()},
		"wrapping":     {"PUT", "/v1/sys/wrapping/lookup", wrapped},
		"mount":        {"GET", "/v1/sys/internal/ui/mounts/vault", auth},
		"list":         {"GET", "/v1/vault/metadata/smtp", auth},
		"read":         {"GET", dataOf, auth},
		"write":        {"PUT", dataOf, auth},
		"master key":   {"GET", "/v1/transit/export/encryption-key/smtp-master", auth},
		"clock":        {"GET", "/v1/sys/health", auth},
		"revocation":   {"PUT", revokeOf, auth},
		"same address": {"GET", dataOf, auth},
	}
	for name, call := range calls {
		for _, status := range []int{301, 302, 303, 307, 308} {
			t.Run(fmt.Sprint(name, " ", status), func(t *testing.T) {
				location, seen := host+call.path+"?secret=query", "redirected to "+host+" (status "+fmt.Sprint(status)+")"
				if name == "same address" {
					location, seen = "/login", "redirected to "+f.proxy.URL+" (status"
				}
				withdraw := f.proxy.Inject(faultproxy.Fault{
					Match: faultproxy.On(call.method, call.path), Kind: faultproxy.Status,
					Status: status, Header: http.Header{"Location": {location}},
				})
				defer withdraw()
				before := f.proxy.Count(call.method, call.path)
				config := f.config
				// A standby's passes when there is a leader again.
				standbys := status == 307 && name != "same address"
				if standbys {
					config.Patience = 300 * time.Millisecond
					if name == "revocation" { // which has a time limit of its own
						seen = "revoke our vault token"
					}
				}

				err := work(t.Context(), config, call.auth)

				if err == nil || !strings.Contains(err.Error(), seen) || strings.Contains(err.Error(), "query") {
					t.Errorf("got %v, want %q", err, seen)
				}
				if n := f.proxy.Count(call.method, call.path) - before; (n > 1) != standbys {
					t.Errorf("%d requests; only a standby's redirect passes by itself", n)
				}
			})
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the other host got %d requests", n)
	}
}

// The lifetime watcher has its own client.
func TestRenewalFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	host, asked := elsewhere(t)
	f.proxy.Inject(faultproxy.Fault{
		Match: faultproxy.On("PUT", renewOf), Kind: faultproxy.Status,
		Status: 307, Header: http.Header{"Location": {host + renewOf}},
	})
	f.open(t, f.appRole(t, nil))

	for f.proxy.Count("PUT", renewOf) < 2 { // the second is for the next token
		time.Sleep(20 * time.Millisecond)
	}

	if n := asked.Load(); n != 0 {
		t.Errorf("the other host got %d requests", n)
	}
}

func TestPageInPlaceOfAnAnswerIsNamed(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	auth := f.appRole(t, nil)
	for _, path := range []string{loginOf, dataOf, "/v1/vault/metadata/smtp", "/v1/transit/export/encryption-key/smtp-master", "/v1/sys/health"} {
		t.Run(path, func(t *testing.T) {
			withdraw := f.proxy.Inject(faultproxy.Fault{
				Match: faultproxy.On("", path), Kind: faultproxy.Status, Status: 200,
				Header: http.Header{"Content-Type": {"text/html; charset=utf-8"}}, Body: "<!doctype html><title>Sign in</title>",
			})
			defer withdraw()

			err := work(t.Context(), f.config, auth)

			if err == nil || !strings.Contains(err.Error(), "answered with an HTML page") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestHealthSaysWhatAnswersInPlaceOfVault(t *testing.T) {
	f := newFixture(t)
	f.config.Patience, f.config.MinWait = time.Second, 300*time.Millisecond
	o := outside(t, f.config, f.rootAuth())
	json, html := http.Header{"Content-Type": {"application/json"}}, http.Header{"Content-Type": {"text/html"}}
	tests := map[string]struct {
		status     int
		header     http.Header
		body       string
		found, fix string
	}{
		"proxy without Vault":      {502, html, "<h1>Bad Gateway</h1>", "502 Bad Gateway", "it does not reach Vault"},
		"balancer without members": {503, html, "No server is available", "503", "it does not reach Vault"},
		"proxy that waited":        {504, html, "<h1>Gateway Time-out</h1>", "504", "it does not reach Vault"},
		"proxy with a login":       {401, html, "<h1>Sign in</h1>", "401", "without a login of its own"},
		"firewall":                 {403, html, "<h1>Forbidden</h1>", "403", "without a login of its own"},
		"another web server":       {404, html, "<h1>Not Found</h1>", "404", "set vault.address to Vault's API"},
		"API gateway":              {404, json, `{"message":"no route matched"}`, "404", "set vault.address to Vault's API"},
		"gateway in JSON":          {502, json, `{"error":"upstream"}`, "502", "it does not reach Vault"},
		"TLS wanted by nginx":      {400, html, "<h1>The plain HTTP request was sent to HTTPS port</h1>", "400", "the scheme that Vault's listener has"},
		"page":                     {200, html, "<h1>Welcome</h1>", "an HTML page", "set vault.address to Vault's API"},
		"page of no type":          {200, http.Header{"Content-Type": {"text/plain"}}, "OK", "something else than Vault's health", "set vault.address to Vault's API"},
		"nothing":                  {204, nil, "", "something else than Vault's health", "set vault.address to Vault's API"},
		"empty object":             {200, json, "{}", "something else than Vault's health", "set vault.address to Vault's API"},
		"another's health":         {200, json, `{"status":"up"}`, "something else than Vault's health", "set vault.address to Vault's API"},
		"half a health":            {200, json, `{"initialized":false}`, "something else than Vault's health", "set vault.address to Vault's API"},
		"null":                     {200, json, `{"initialized":null,"sealed":null}`, "something else than Vault's health", "set vault.address to Vault's API"},
		"list":                     {200, json, "[]", "something else than Vault's health", "set vault.address to Vault's API"},
		"SSO":                      {302, http.Header{"Location": {"https://sso.example.com/login?state=hidden"}}, "", "redirected to https://sso.example.com (status 302)", "without a login of its own"},
		"standby":                  {307, http.Header{"Location": {"https://vault-2.example.com:8200/v1/sys/health"}}, "", "redirected to https://vault-2.example.com:8200", "vault.other_addresses"},
		"to TLS":                   {308, http.Header{"Location": {strings.Replace(f.proxy.URL, "http:", "https:", 1)}}, "", "redirected to https://127.0.0.1", "set vault.address to https://127.0.0.1"},
		"to nowhere":               {301, nil, "", "redirected to an unknown place", "see what stands before Vault"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			withdraw := f.proxy.Inject(faultproxy.Fault{Kind: faultproxy.Status, Status: test.status, Header: test.header, Body: test.body})
			defer withdraw()

			checks, _ := o.Check(t.Context())

			got := checks[0]
			if got.State != rotator.CheckFailed || !strings.Contains(got.Found, test.found) || !strings.Contains(got.Fix, test.fix) || strings.Contains(got.Found+got.Fix, "hidden") {
				t.Errorf("got %+v", got)
			}
			for _, c := range checks {
				if strings.Contains(c.Fix, "vault operator") || strings.Contains(c.Fix, "systemctl start") {
					t.Errorf("advice for a Vault that answers: %+v", c)
				}
			}
		})
	}
}

// A new secret-id does not fix a login that never reached Vault.
func TestCheckedLoginSaysWhatStandsBeforeVault(t *testing.T) {
	f := newFixture(t)
	auth := f.appRole(t, nil)
	f.config.Patience, f.config.MinWait = time.Second, 300*time.Millisecond
	f.proxy.Inject(faultproxy.Fault{Match: faultproxy.On("PUT", loginOf), Kind: faultproxy.Status, Status: 502, Body: "<h1>Bad Gateway</h1>"})

	login, _ := examine(t, f.config, auth)

	if login.State != rotator.CheckFailed || !strings.Contains(login.Fix, "it does not reach Vault") {
		t.Errorf("got %+v", login)
	}
}

// Older versions do not know every parameter that changes the status.
func TestHealthIsReadWhateverItsStatus(t *testing.T) {
	f := newFixture(t)
	f.config.Patience, f.config.MinWait = time.Second, 300*time.Millisecond
	o := outside(t, f.config, f.rootAuth())
	tests := map[int]struct{ body, want string }{
		429: {`{"initialized":true,"sealed":false,"standby":true}`, "reachable ok, initialised ok, unsealed ok, active node ok"},
		472: {`{"initialized":true,"sealed":false,"standby":true,"replication_dr_mode":"secondary"}`, "reachable ok, initialised ok, unsealed ok, active node failed"},
		473: {`{"initialized":true,"sealed":false,"standby":true,"performance_standby":true}`, "reachable ok, initialised ok, unsealed ok, active node ok"},
		501: {`{"initialized":false,"sealed":true,"standby":true}`, "reachable ok, initialised failed, unsealed skipped, active node skipped"},
		503: {`{"initialized":true,"sealed":true,"standby":true}`, "reachable ok, initialised ok, unsealed failed, active node skipped"},
	}
	for status, test := range tests {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			withdraw := f.proxy.Inject(faultproxy.Fault{
				Kind: faultproxy.Status, Status: status, Body: test.body, Header: http.Header{"Content-Type": {"application/json"}},
			})
			defer withdraw()

			if got := states(checksOf(t, o)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
