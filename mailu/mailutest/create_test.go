package mailutest_test

import (
	"net/http"
	"strings"
	"testing"

	"mailu-rotator/mailu/mailutest"
)

func post(body string) request {
	return request{method: http.MethodPost, path: "/api/v1/user", body: body}
}

const bob = `{"email": "Bob@example.com", "raw_password": "new password"}`

func TestAnswersToACreation(t *testing.T) {
	const message, verdict, errors = `{"message":`, `{"code":`, `{"errors":`
	for name, c := range map[string]struct {
		ask    request
		status int
		start  string
	}{
		"created":           {post(bob), 200, `{"code":200,"message":"User Bob@example.com has been created"}`},
		"no password":       {post(`{"email": "bob@example.com"}`), 400, `{"errors":{"raw_password":"'raw_password' is a required property"}`},
		"no address":        {post(`{"raw_password": "x"}`), 400, errors},
		"number as address": {post(`{"email": 1, "raw_password": "x"}`), 400, errors},
		"invalid address":   {post(`{"email": "bob", "raw_password": "x"}`), 400, `{"code":400,"message":"Provided email address bob is not`},
		"unknown domain":    {post(`{"email": "bob@nowhere.example", "raw_password": "x"}`), 404, `{"code":404,"message":"Domain nowhere.example does not exist"}`},
		"there already":     {post(`{"email": "ALICE@example.com", "raw_password": "x"}`), 409, `{"code":409,"message":"User ALICE@example.com already exists"}`},
		"long password":     {post(`{"email": "bob@example.com", "raw_password": "` + strings.Repeat("x", 4097) + `"}`), 500, message},
		"no token":          {request{method: "POST", path: "/api/v1/user", body: bob, token: "-"}, 401, message},
		"wrong token":       {request{method: "POST", path: "/api/v1/user", body: bob, token: "wrong"}, 403, message},
		"no JSON":           {request{method: "POST", path: "/api/v1/user", body: bob, contentType: "-"}, 415, message},
		"of one user":       {request{method: "POST", body: bob}, 405, message},

		"domain":             {request{path: "/api/v1/domain/EXAMPLE.com"}, 200, `{"alternatives":[],`},
		"domain unknown":     {request{path: "/api/v1/domain/nowhere.example"}, 404, verdict},
		"domain invalid":     {request{path: "/api/v1/domain/localhost"}, 200, `{"code":400,`},
		"domain, no token":   {request{path: "/api/v1/domain/example.com", token: "-"}, 401, message},
		"domain of no name":  {request{path: "/api/v1/domain/"}, 404, "<!doctype"},
		"domain, wrong verb": {request{method: "PUT", path: "/api/v1/domain/example.com"}, 405, message},
	} {
		t.Run(name, func(t *testing.T) {
			server := runWithAlice(t, mailutest.Config{})

			got := do(t, server, c.ask)

			if got.status != c.status || !strings.HasPrefix(got.body, c.start) {
				t.Errorf("answer %d %.120q, want %d %s…", got.status, got.body, c.status, c.start)
			}
			if !server.Accepts(alice, secret) || server.Accepts("bob@example.com", "new password") != (name == "created") {
				t.Error("the effect is not what the answer says")
			}
		})
	}
}

func TestThePasswordLeavesTheChangeAtLogin(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})
	server.SetFlag(alice, "change_pw_next_login", true)

	do(t, server, patch(fresh))
	left := server.Flag(alice, "change_pw_next_login")
	do(t, server, patch(`{"change_pw_next_login": false}`))

	if !left || server.Flag(alice, "change_pw_next_login") {
		t.Errorf("set after the password: %t, and after false: %t", left, server.Flag(alice, "change_pw_next_login"))
	}
}

func TestANewUserHasMailusDefaultsAndWhatWasSent(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})

	do(t, server, post(`{"email": "bob@example.com", "raw_password": "new password", "comment": "made", "enabled": true}`))

	shown := fields(t, do(t, server, request{path: "/api/v1/user/bob@example.com"}))
	if shown["comment"] != "made" || shown["quota_bytes"] != 1e9 || shown["global_admin"] != false || server.PasswordSets("bob@example.com") != 1 {
		t.Errorf("shown %v, set %d times", shown, server.PasswordSets("bob@example.com"))
	}
}

func TestRelease20LooksForNoLimitOfADomain(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{Release: mailutest.Release20})
	server.SetMaxUsers("example.com", 1)

	got := do(t, server, post(bob))

	if got.status != http.StatusOK || !server.Accepts("bob@example.com", "new password") {
		t.Errorf("answer %d %s", got.status, got.body)
	}
}

func TestRelease20HasNoChangeAtTheNextLogin(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{Release: mailutest.Release20})

	got := do(t, server, patch(`{"raw_password": "new password", "change_pw_next_login": "ignored"}`))

	if _, found := fields(t, do(t, server, request{}))["change_pw_next_login"]; found || got.status != http.StatusOK {
		t.Errorf("shown: %t, status %d", found, got.status)
	}
}

func TestDeleteRemovesTheUser(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})

	got := do(t, server, request{method: http.MethodDelete})

	if again := do(t, server, request{}); got.status != http.StatusOK || again.status != http.StatusNotFound {
		t.Errorf("status %d, then %d", got.status, again.status)
	}
}

func TestFaultsOfACreation(t *testing.T) {
	for name, c := range map[string]struct {
		kind   mailutest.Kind
		status int
		effect bool
	}{
		"before": {mailutest.Status, 500, false},
		"after":  {mailutest.StatusAfter, 500, true},
		"lie":    {mailutest.Lie, 200, false},
	} {
		t.Run(name, func(t *testing.T) {
			server := runWithAlice(t, mailutest.Config{})
			server.Inject(mailutest.Fault{Kind: c.kind, Method: http.MethodPost})

			got := do(t, server, post(bob))

			if got.status != c.status || server.Accepts("bob@example.com", "new password") != c.effect {
				t.Errorf("status %d, effect %t", got.status, !c.effect)
			}
		})
	}
}
