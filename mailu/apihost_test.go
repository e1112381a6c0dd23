package mailu

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
)

// twoSpellings are two entries whose api_urls spell the same host in two ways.
func twoSpellings(t *testing.T, fake *mailutest.Server) (servers *Servers, a, b *Server) {
	t.Helper()
	one, other := entry(fake.Origin()), entry(strings.Replace(fake.Origin(), "127.0.0.1", "localhost", 1))
	one.MaxConcurrent, other.MaxConcurrent = 1, 3
	servers, err := New([]ServerConfig{one, other}, quick())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(servers.Close)
	return servers, serverOf(t, servers, one.Origin), serverOf(t, servers, other.Origin)
}

func TestAWrongTokenIsSentOnceToAHostInTwoSpellings(t *testing.T) {
	fake := mailutest.Run(t, mailutest.Config{Token: "another-token"})
	slowly(fake)
	_, a, b := twoSpellings(t, fake)

	errs := append(atOnce(8, func() error { return push(t, a) }), atOnce(8, func() error { return push(t, b) })...)

	for _, err := range errs {
		mustBe(t, err, rotator.ErrServerUnusable)
	}
	if fake.Count("") != 1 {
		t.Errorf("%d wrong tokens sent, want 1", fake.Count(""))
	}
}

func TestAHostInTwoSpellingsHasOneLimit(t *testing.T) {
	fake := mailutest.Run(t, mailutest.Config{})
	fake.AddUser(user, oldPassword)
	_, a, b := twoSpellings(t, fake)
	if err := push(t, a); err != nil {
		t.Fatal(err)
	}
	slowly(fake)

	errs := atOnce(6, func() error { return errors.Join(push(t, a), push(t, b)) })

	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if fake.MaxInFlight() != 1 || b.MaxConcurrent() != 1 {
		t.Errorf("%d requests at a time, limit %d", fake.MaxInFlight(), b.MaxConcurrent())
	}
}

// A tenant holds its slot from the push until it is verified, over several requests.
func TestAHostInTwoSpellingsHasOneSetOfPushSlots(t *testing.T) {
	_, a, b := twoSpellings(t, mailutest.Run(t, mailutest.Config{}))
	release, err := a.PushSlot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()

	_, full := b.PushSlot(ctx)
	release()
	again, err := b.PushSlot(t.Context())

	if !errors.Is(full, context.DeadlineExceeded) || err != nil {
		t.Fatalf("while the only slot is held: %v; afterwards: %v", full, err)
	}
	again()
}

func TestCheckSendsAHostInTwoSpellingsOneWrongToken(t *testing.T) {
	fake := mailutest.Run(t, mailutest.Config{Token: "another-token"})
	servers, a, b := twoSpellings(t, fake)

	checks := servers.Check(t.Context(), []rotator.Origin{a.config.Origin, b.config.Origin})

	if fake.Count("") != 1 || !checks[0].WrongToken || checks[1].State != rotator.CheckFailed {
		t.Errorf("%d requests: %+v", fake.Count(""), checks)
	}
}

// Which entries are one Mailu, which counts their wrong tokens together.
func TestEntriesThatAreOneAPIHost(t *testing.T) {
	tests := []struct {
		name string
		a, b string // api_url
		one  bool
	}{
		{"http and https", "http://mail.example.com/api/v1", "https://mail.example.com/api/v1", true},
		{"http and https of other ports", "http://mail.example.com:80/api/v1", "https://mail.example.com:443/api/v1", true},
		{"a final dot", "https://mail.example.com./api/v1", "https://mail.example.com/api/v1", true},
		{"two paths", "https://mail.example.com/api/v1", "https://mail.example.com/other/api/v1", true},
		{"an address in two forms", "https://[::ffff:192.0.2.1]/api/v1", "https://192.0.2.1/api/v1", true},
		{"a port of its own", "https://mail.example.com:8443/api/v1", "https://mail.example.com/api/v1", false},
		{"two names", "https://a.example.com/api/v1", "https://b.example.com/api/v1", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sent := 0
			refuse := inMemory(func(*http.Request) (*http.Response, error) {
				sent++
				return respond(http.StatusForbidden, own(http.StatusForbidden)), nil
			})
			one, other := entry("https://one.example"), entry("https://other.example")
			one.APIURL, other.APIURL = test.a, test.b
			one.AllowHTTP, other.Token = true, crypto.SecretFromString("another-token")
			servers, err := New([]ServerConfig{one, other}, Options{transport: refuse})
			if err != nil {
				t.Fatal(err)
			}

			_ = ask(t, serverOf(t, servers, one.Origin), user)
			_ = ask(t, serverOf(t, servers, other.Origin), user)

			if (sent == 1) != test.one || (servers.API(one.Origin) == servers.API(other.Origin)) != test.one {
				t.Errorf("%d wrong tokens sent, API hosts %q and %q", sent, servers.API(one.Origin), servers.API(other.Origin))
			}
		})
	}
}

// An entry with a wrong api_url stops no tenant of another entry.
func TestAnAPIURLThatIsNoneClosesItsOwnEntry(t *testing.T) {
	tests := map[string]func() *http.Response{
		"a redirect": func() *http.Response {
			return respond(http.StatusMovedPermanently, "", "Location", "https://mail.example.com/api/v1/user")
		},
		"a page": func() *http.Response { return respond(http.StatusNotFound, "<html>") },
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			sent := 0
			transport := inMemory(func(req *http.Request) (*http.Response, error) {
				if req.URL.Scheme == "https" {
					return respond(http.StatusOK, `{"email":"`+user+`","enabled":true}`), nil
				}
				sent++
				return answer(), nil
			})
			plain, tls := entry("http://mail.example.com"), entry("https://mail.example.com")
			plain.AllowHTTP = true
			servers, err := New([]ServerConfig{plain, tls}, Options{transport: transport})
			if err != nil {
				t.Fatal(err)
			}

			first := ask(t, serverOf(t, servers, plain.Origin), user)
			second := ask(t, serverOf(t, servers, plain.Origin), user)
			other := ask(t, serverOf(t, servers, tls.Origin), user)

			mustBe(t, first, rotator.ErrServerUnusable)
			mustBe(t, second, rotator.ErrServerUnusable)
			if other != nil || sent != 1 {
				t.Errorf("the other entry: %v; %d requests to this one, want 1", other, sent)
			}
		})
	}
}
