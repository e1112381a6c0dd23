package mailu

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"mailu-rotator/crypto"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
)

func TestPushMakesThePasswordTheUsers(t *testing.T) {
	fake, server := pair(t, mailutest.Config{TLS: true})

	err := push(t, server)

	if err != nil || !fake.Accepts(user, newPassword) || fake.Count("") != 1 {
		t.Errorf("err %v, accepted %v, %d requests", err, fake.Accepts(user, newPassword), fake.Count(""))
	}
}

func TestStatusesOfAPush(t *testing.T) {
	const (
		ambiguous = 0
		refused   = 1 << iota
		unusable
		limited
		intercepted
	)
	tests := []struct {
		fault    mailutest.Fault
		class    int
		requests int
		words    string
	}{
		{mailutest.Fault{Kind: mailutest.Status, Status: 200, Body: "{}"}, ambiguous, 1, "not Mailu's answer"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 200, Body: `{"code":500,"message":"half"}`}, ambiguous, 1, "half"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 201, Body: updated}, ambiguous, 1, "status 201"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 204}, ambiguous, 1, "status 204"},
		{mailutest.Fault{Kind: mailutest.HTMLPage, Status: 200}, ambiguous, 1, "see whether api_url"},
		{mailutest.Fault{Kind: mailutest.GarbageJSON}, ambiguous, 1, "not Mailu's answer"},
		{mailutest.Fault{Kind: mailutest.Redirect, Status: 301}, unusable, 1, "a redirect to http://elsewhere.example/api/v1/user/admin@example.com, not followed: if that server is yours, set api_url to http://elsewhere.example/api/v1"},
		{mailutest.Fault{Kind: mailutest.Redirect, Status: 308}, unusable, 1, "elsewhere.example"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 304}, unusable, 1, "redirect to nowhere"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 400, Body: `{"code":400,"message":"not a valid email address"}`}, refused, 1, "status 400: not a valid email address"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 401, Body: `{"message":"A valid Authorization header is mandatory"}`}, refused | unusable, 1, "mandatory"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 403, Body: `{"message":"Invalid API token"}`}, refused | unusable, 1, "Invalid API token: compare"},
		{mailutest.Fault{Kind: mailutest.HTMLPage, Status: 401}, unusable, 1, "status 401"},
		{mailutest.Fault{Kind: mailutest.HTMLPage, Status: 403}, intercepted, 1, "answered by something in front of Mailu, status 403"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 403, Body: `{"message":"Forbidden"}`}, intercepted, 1, "look for a firewall"},
		{mailutest.Fault{Kind: mailutest.HTMLPage, Status: 404}, unusable, 1, "enable Mailu's API"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 404, Body: `{"code":404,"message":"User admin@example.com cannot be found"}`}, refused, 1, "unknown to this server"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 404, Body: `{"error":"no route"}`}, intercepted, 1, "see whether api_url"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 404, Body: `["no route"]`}, intercepted, 1, "see whether api_url"},
		{mailutest.Fault{Kind: mailutest.HTMLPage, Status: 400}, intercepted, 1, "status 400"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 400, Body: `{"errors":{},"message":"Input payload validation failed"}`}, refused, 1, "Input payload"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 400, Body: `{"message":"The browser (or proxy) sent a request that this server could not understand."}`}, refused, 1, "could not understand"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 415, Body: `{"message":"Did not attempt to load JSON data because the request Content-Type was not 'application/json'."}`}, refused, 1, "status 415"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 405, Body: `{"message":"The method is not allowed for the requested URL."}`}, refused, 1, "not allowed"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 500, Body: `{"message":"Invalid API token"}`}, ambiguous, 1, "status 500"},
		{mailutest.Fault{Kind: mailutest.HTMLPage, Status: 405}, intercepted, 1, "status 405"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 200, Body: `{"code":400,"message":"no"}`}, ambiguous, 1, "status 200, code 400: no"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 408}, ambiguous, 1, "status 408"},
		{mailutest.Fault{Kind: mailutest.HTMLPage, Status: 409}, intercepted, 1, "status 409"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 409, Body: own(409)}, refused, 1, "status 409"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 429}, limited, 3, "status 429"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 429, RetryAfter: "90"}, limited, 1, "status 429"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 500}, ambiguous, 1, "status 500"},
		{mailutest.Fault{Kind: mailutest.StatusAfter, Status: 500}, ambiguous, 1, "status 500"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 501}, ambiguous, 1, "status 501"},
		{mailutest.Fault{Kind: mailutest.HTMLPage, Status: 502}, ambiguous, 3, "status 502"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 503}, ambiguous, 3, "try 3"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 503, RetryAfter: "60"}, limited, 1, "status 503"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 504}, ambiguous, 3, "status 504"},
		{mailutest.Fault{Kind: mailutest.Status, Status: 599}, ambiguous, 1, "status 599"},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%d kind %d", test.fault.Status, test.fault.Kind), func(t *testing.T) {
			fake, server := pair(t, mailutest.Config{})
			fake.Inject(test.fault)

			err := push(t, server)

			mustTell(t, server, err, test.words)
			got := 0
			for bit, kind := range map[int]error{refused: rotator.ErrRefused, unusable: rotator.ErrServerUnusable, intercepted: rotator.ErrIntercepted} {
				if errors.Is(err, kind) {
					got |= bit
				}
			}
			if r := new(rotator.RateLimitedError); errors.As(err, &r) {
				got |= limited
			}
			if got != test.class || fake.Count("") != test.requests {
				t.Errorf("class %b after %d requests, want %b after %d: %v", got, fake.Count(""), test.class, test.requests, err)
			}
		})
	}
}

func TestUnknownUserIsNamed(t *testing.T) {
	fake, server := pair(t, mailutest.Config{})
	fake.DeleteUser(user)

	err := push(t, server)

	var unknown *UnknownUserError
	if !errors.As(err, &unknown) || unknown.Username != user {
		t.Errorf("%v is no UnknownUserError", err)
	}
	mustTell(t, server, err, "user admin@example.com unknown to this server: create the user")
	mustBe(t, err, rotator.ErrRefused)
	mustNotBe(t, err, rotator.ErrServerUnusable)
}

func TestUnknownUserKeepsTheServerOpen(t *testing.T) {
	fake, server := pair(t, mailutest.Config{})
	_ = server.SetPassword(t.Context(), "nobody@example.com", crypto.SecretFromString(newPassword))

	err := push(t, server)

	if err != nil || !fake.Accepts(user, newPassword) {
		t.Errorf("push after an unknown user: %v", err)
	}
}

func TestLostAnswersAreTriedAgainAndAmbiguous(t *testing.T) {
	for _, kind := range []mailutest.Kind{mailutest.ResetBefore, mailutest.ResetAfter, mailutest.HangBefore, mailutest.HangAfter} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			fake, server := pair(t, mailutest.Config{})
			server.config.Timeout = 400 * time.Millisecond // long enough for each request to arrive on a loaded machine
			fake.Inject(mailutest.Fault{Kind: kind})

			err := push(t, server)

			mustTell(t, server, err, "try 3")
			mustNotBe(t, err, rotator.ErrRefused, rotator.ErrServerUnusable)
			if fake.Count("") != 3 {
				t.Errorf("%d requests, want 3", fake.Count(""))
			}
		})
	}
}

func TestATryAgainSucceedsAfterPassingFaults(t *testing.T) {
	fake, server := pair(t, mailutest.Config{})
	fake.Inject(
		mailutest.Fault{Kind: mailutest.ResetAfter, Times: 1},
		mailutest.Fault{Kind: mailutest.HTMLPage, Status: 502, Times: 1},
	)

	err := push(t, server)

	if err != nil || !fake.Accepts(user, newPassword) || fake.Count("") != 3 {
		t.Errorf("err %v, %d requests", err, fake.Count(""))
	}
}

func TestRefusalAfterALostAnswerIsNoCertainRefusal(t *testing.T) {
	for _, first := range []mailutest.Fault{
		{Kind: mailutest.ResetAfter, Times: 1},
		{Kind: mailutest.HTMLPage, Status: 504, Times: 1},
		{Kind: mailutest.Status, Status: 429, Times: 1},
	} {
		t.Run(fmt.Sprint(first.Kind, first.Status), func(t *testing.T) {
			fake, server := pair(t, mailutest.Config{})
			fake.Inject(first, mailutest.Fault{Kind: mailutest.Status, Status: 403, Body: own(403)})

			err := push(t, server)

			mustBe(t, err, rotator.ErrServerUnusable)
			mustNotBe(t, err, rotator.ErrRefused)
			mustTell(t, server, err, "try 2")
		})
	}
}

func TestLateEffectIsAmbiguousAndHarmless(t *testing.T) {
	fake, server := pair(t, mailutest.Config{})
	fake.Inject(mailutest.Fault{Kind: mailutest.LateEffect, Status: 500, Delay: 20 * time.Millisecond, Times: 1})

	err := push(t, server)
	fake.Settle()

	mustNotBe(t, err, rotator.ErrRefused)
	if err == nil || !fake.Accepts(user, newPassword) {
		t.Errorf("err %v, accepted %v", err, fake.Accepts(user, newPassword))
	}
}

func TestSlowAnswerWithinTheTimeoutIsWaitedFor(t *testing.T) {
	fake, server := pair(t, mailutest.Config{})
	fake.Inject(mailutest.Fault{Kind: mailutest.DelayAfter, Delay: 100 * time.Millisecond, Times: 1})

	if err := push(t, server); err != nil || fake.Count("") != 1 {
		t.Errorf("err %v, %d requests", err, fake.Count(""))
	}
}

func TestWhatCannotBeSentIsRefusedWithoutARequest(t *testing.T) {
	tests := []struct{ username, password, words string }{
		{user, "", "the password is empty"},
		{user, "\xff\xfe", "not UTF-8"},
		{user, strings.Repeat("ä", 4097), "longer than 4096"},
		{user, "secret\n", "ends in a newline"},
		{user, "sec\x00ret", "control characters"},
		{"", newPassword, "user@domain"},
		{"admin", newPassword, "user@domain"},
		{"@example.com", newPassword, "user@domain"},
		{"admin@", newPassword, "user@domain"},
		{"a@b@c.example", newPassword, "more than one @"},
		{"../../user@example.com", newPassword, "fit into a path"},
		{`a\b@example.com`, newPassword, `'\\'`},
		{"a%2fb@example.com", newPassword, "fit into a path"},
		{"a b@example.com", newPassword, "U+0020"},
		{"a\r\nb@example.com", newPassword, `a\r\nb@example.com`},
		{"a\x1b[2Jb@example.com", newPassword, `a\x1b[2Jb@example.com`},
		{"admin@example.com\u200b", newPassword, `admin@example.com\u200b`},
		{"a\xffb@example.com", newPassword, "not UTF-8"},
		{strings.Repeat("a", 400) + "@example.com", newPassword, "more than 64"},
	}
	fake, server := pair(t, mailutest.Config{})
	for _, test := range tests {
		err := server.SetPassword(t.Context(), test.username, crypto.SecretFromString(test.password))
		mustBe(t, err, rotator.ErrRefused)
		if !strings.Contains(err.Error(), test.words) || strings.ContainsAny(err.Error(), "\r\n\x1b") || !utf8.ValidString(err.Error()) || len(err.Error()) > 1000 {
			t.Errorf("%q: %q, want %q", test.username, err, test.words)
		}
	}
	if fake.Count("") != 0 {
		t.Errorf("%d requests were sent", fake.Count(""))
	}
}

func TestUnusualUsernamesStayOneSegment(t *testing.T) {
	for _, username := range []string{"a+b&g=h!$'*^`{|}~@example.com", "O'Brien@EXAMPLE.com", "admin@exämple.com", "admin@bücher。example"} {
		var path string
		server := handler(t, func(w http.ResponseWriter, r *http.Request) {
			path = r.URL.Path
			_, _ = w.Write([]byte(updated))
		})

		looked(server, username)

		err := server.SetPassword(t.Context(), username, crypto.SecretFromString(newPassword))

		if err != nil || path != "/api/v1/user/"+username {
			t.Errorf("%q arrived as %q: %v", username, path, err)
		}
	}
}

func TestRequestsSayWhatTheyAreAndNothingElse(t *testing.T) {
	var header http.Header
	server := handler(t, func(w http.ResponseWriter, r *http.Request) {
		header = r.Header.Clone()
		_, _ = w.Write([]byte(updated))
	})

	if err := push(t, server); err != nil {
		t.Fatal(err)
	}

	want := map[string]string{
		"Authorization": "Bearer " + mailutest.DefaultToken, "Accept": "application/json",
		"Content-Type": "application/json", "User-Agent": "mailu-rotator",
	}
	for name, value := range want {
		if header.Get(name) != value {
			t.Errorf("%s: %q, want %q", name, header.Get(name), value)
		}
		header.Del(name)
	}
	header.Del("Content-Length")
	if len(header) > 0 {
		t.Errorf("unexpected headers: %v", header)
	}
}
