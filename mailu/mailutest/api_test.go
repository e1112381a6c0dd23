package mailutest_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mailu-rotator/mailu/mailutest"
)

func TestStatuses(t *testing.T) {
	const (
		verdict = `{"code":`
		message = `{"message":`
		errors  = `{"errors":`
		page    = "<!doctype html>"
	)
	user := "/api/v1/user/"
	for name, c := range map[string]struct {
		ask    request
		status int
		start  string
	}{
		"get":                               {request{}, 200, `{"allow_spoofing":`},
		"get, any case":                     {request{path: user + "Alice@Example.COM"}, 200, `{"allow_spoofing":`},
		"get, raw token":                    {request{token: mailutest.DefaultToken}, 200, `{"allow_spoofing":`},
		"get, unknown user":                 {request{path: user + "bob@example.com"}, 404, verdict},
		"get, invalid address":              {request{path: user + "alice"}, 400, verdict},
		"get, address of a bare host":       {request{path: user + "alice@localhost"}, 400, verdict},
		"get, no header":                    {request{token: "-"}, 401, message},
		"get, wrong token":                  {request{token: "Bearer wrong"}, 403, message},
		"get, lower case scheme":            {request{token: "bearer " + mailutest.DefaultToken}, 403, message},
		"get, other scheme":                 {request{token: "Token " + mailutest.DefaultToken}, 403, message},
		"get, token outside ascii":          {request{token: "Bearer t\u00f6ken"}, 500, message},
		"get, trailing slash":               {request{path: user + alice + "/"}, 404, page},
		"get, no address":                   {request{path: user}, 404, page},
		"get, slash in the address":         {request{path: user + "a%2Fb@example.com"}, 404, page},
		"get, unknown path without a token": {request{path: "/api/v1/nothing", token: "-"}, 404, page},
		"list":                              {request{path: "/api/v1/user"}, 200, `[{`},
		"list, no header":                   {request{path: "/api/v1/user", token: "-"}, 401, message},
		"put":                               {request{method: "PUT", body: fresh}, 405, message},

		"patch":                             {patch(fresh), 200, verdict},
		"patch, any case":                   {request{method: "PATCH", path: user + "ALICE@example.com", body: fresh}, 200, verdict},
		"patch, empty password":             {patch(`{"raw_password": ""}`), 200, verdict},
		"patch, nothing known":              {patch(`{"password": "typo"}`), 200, verdict},
		"patch, nothing":                    {patch(`{}`), 200, verdict},
		"patch, unknown user":               {request{method: "PATCH", path: user + "bob@example.com", body: fresh}, 404, verdict},
		"patch, invalid address":            {request{method: "PATCH", path: user + "alice", body: fresh}, 400, verdict},
		"patch, invalid address named":      {request{method: "PATCH", path: user + "alice", body: `{"email": "alice"}`}, 400, verdict},
		"patch, no header":                  {request{method: "PATCH", body: fresh, token: "-"}, 401, message},
		"patch, wrong token":                {request{method: "PATCH", body: fresh, token: "wrong"}, 403, message},
		"patch, no content type":            {request{method: "PATCH", body: fresh, contentType: "-"}, 415, message},
		"patch, form":                       {request{method: "PATCH", body: "a=b", contentType: "application/x-www-form-urlencoded"}, 415, message},
		"patch, other json type":            {request{method: "PATCH", body: fresh, contentType: "application/merge-patch+json"}, 200, verdict},
		"patch, no body":                    {patch(""), 400, message},
		"patch, malformed":                  {patch(`{"raw_password": `), 400, message},
		"patch, not utf-8":                  {patch("{\"raw_password\": \"\xff\"}"), 400, message},
		"patch, null":                       {patch("null"), 400, errors},
		"patch, list":                       {patch("[]"), 400, errors},
		"patch, number for a password":      {patch(`{"raw_password": 1}`), 400, errors},
		"patch, null for a password":        {patch(`{"raw_password": null}`), 400, errors},
		"patch, string for a flag":          {patch(`{"enabled": "yes"}`), 400, errors},
		"patch, malformed without a header": {request{method: "PATCH", body: "{", token: "-"}, 400, message},
		"patch, password of 4096":           {patch(`{"raw_password": "` + strings.Repeat("x", 4096) + `"}`), 200, verdict},
		"patch, password of 4097":           {patch(`{"raw_password": "` + strings.Repeat("x", 4097) + `"}`), 500, message},
	} {
		t.Run(name, func(t *testing.T) {
			server := runWithAlice(t, mailutest.Config{})

			got := do(t, server, c.ask)

			if got.status != c.status || !strings.HasPrefix(got.body, c.start) {
				t.Errorf("answer %d %.80q, want %d %s…", got.status, got.body, c.status, c.start)
			}
		})
	}
}

func TestOnlyA200SetsThePassword(t *testing.T) {
	for name, ask := range map[string]request{
		"401": {method: "PATCH", body: fresh, token: "-"},
		"403": {method: "PATCH", body: fresh, token: "wrong"},
		"415": {method: "PATCH", body: fresh, contentType: "text/plain"},
		"400": patch(`{"raw_password": ["new password"]}`),
	} {
		t.Run(name, func(t *testing.T) {
			server := runWithAlice(t, mailutest.Config{})

			do(t, server, ask)

			if !server.Accepts(alice, secret) || server.PasswordSets(alice) != 0 {
				t.Error("the password has changed")
			}
		})
	}
}

func TestGetShowsEveryField(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})

	shown := fields(t, do(t, server, request{}))

	// api/v1/user.py user_fields_get.
	want := strings.Fields(`allow_spoofing change_pw_next_login comment displayed_name email enable_imap enable_pop enabled
		forward_destination forward_enabled forward_keep global_admin password quota_bytes quota_bytes_used reply_body
		reply_enabled reply_enddate reply_startdate reply_subject spam_enabled spam_mark_as_read spam_threshold`)
	if got := slices.Sorted(maps.Keys(shown)); !slices.Equal(got, want) {
		t.Errorf("fields %v, want %v", got, want)
	}
	if shown["password"] != server.Hash(alice) || shown["email"] != alice {
		t.Errorf("shows %v of %v", shown["password"], shown["email"])
	}
}

func TestListLeavesOutNulls(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})

	got := do(t, server, request{path: "/api/v1/user"})

	if strings.Contains(got.body, "null") || !strings.Contains(got.body, alice) {
		t.Errorf("list %s", got.body)
	}
}

func TestPatchStoresTheOtherFields(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})

	do(t, server, patch(`{"comment": "on leave", "quota_bytes_used": 7}`))

	shown := fields(t, do(t, server, request{}))
	if shown["comment"] != "on leave" || shown["quota_bytes_used"] != 0.0 {
		t.Errorf("comment %v, quota_bytes_used %v", shown["comment"], shown["quota_bytes_used"])
	}
}

func TestRefusalOfAValueRepeatsIt(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})

	got := do(t, server, patch(`{"raw_password": 271828}`))

	if !strings.Contains(got.body, "271828 is not of type 'string'") {
		t.Errorf("body %s", got.body)
	}
}

func TestATokenOfThreeCharactersIsNeverRight(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{Token: "abc"})

	got := do(t, server, request{})

	if got.status != http.StatusForbidden {
		t.Errorf("status %d", got.status)
	}
}

func TestSetTokenTakesEffectAtOnce(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})

	server.SetToken("another token")

	if got := do(t, server, request{token: "Bearer " + mailutest.DefaultToken}); got.status != http.StatusForbidden {
		t.Errorf("old token: status %d", got.status)
	}
	if got := do(t, server, request{}); got.status != http.StatusOK {
		t.Errorf("new token: status %d", got.status)
	}
}

func TestWithoutATokenTheAPIIsAnErrorPage(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})
	server.SetToken("")

	got := do(t, server, request{path: "/api/v1/nothing"})

	if got.status != http.StatusInternalServerError || !strings.HasPrefix(got.body, "<p>Error: API_TOKEN") {
		t.Errorf("answer %d %q", got.status, got.body)
	}
}

func TestADisabledAPIIsAPageNotJSON(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{APIDisabled: true})

	got := do(t, server, request{token: "-"})

	if got.status != http.StatusNotFound || !strings.HasPrefix(got.body, "<html>") {
		t.Errorf("answer %d %q", got.status, got.body)
	}
}

func TestADisabledAPIMayRedirectToTheWebmail(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{APIDisabled: true, WebmailRedirect: true})

	got := do(t, server, patch(fresh))

	if got.status != http.StatusMovedPermanently || got.header.Get("Location") != "/webmail/?homepage" {
		t.Errorf("answer %d to %q", got.status, got.header.Get("Location"))
	}
}
