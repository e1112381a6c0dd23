package mailu

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
)

// twoEntries are two origins with one API, each with its token.
func twoEntries(t *testing.T, fake *mailutest.Server, tokenA, tokenB string) (a, b *Server) {
	t.Helper()
	var configs []ServerConfig
	for origin, token := range map[string]string{"https://a.example": tokenA, "https://b.example": tokenB} {
		c := entry(origin)
		c.APIURL, c.Token, c.MaxConcurrent = fake.Origin()+"/api/v1", crypto.SecretFromString(token), 8
		configs = append(configs, c)
	}
	servers, err := New(configs, quick())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(servers.Close)
	return serverOf(t, servers, "https://a.example"), serverOf(t, servers, "https://b.example")
}

// slowly makes requests that are sent together arrive together.
func slowly(fake *mailutest.Server) {
	fake.Inject(mailutest.Fault{Kind: mailutest.Delay, Delay: 20 * time.Millisecond})
}

func TestAWrongTokenOfManyCallersIsSentOnce(t *testing.T) {
	fake := mailutest.Run(t, mailutest.Config{Token: "another-token"})
	slowly(fake)
	c := entry(fake.Origin())
	c.MaxConcurrent = 8
	server := open(t, c, quick())

	errs := atOnce(50, func() error { _, err := prove(t, server, oldPassword); return err })

	for _, err := range errs {
		mustBe(t, err, rotator.ErrServerUnusable)
	}
	if fake.Count("") != 1 {
		t.Errorf("%d wrong tokens sent, want 1", fake.Count(""))
	}
}

func TestAWrongTokenOfTwoEntriesIsSentOnce(t *testing.T) {
	fake := mailutest.Run(t, mailutest.Config{})
	slowly(fake)
	a, b := twoEntries(t, fake, "wrong-token", "wrong-too")

	errs := append(atOnce(20, func() error { return push(t, a) }), push(t, b))

	for _, err := range errs {
		mustBe(t, err, rotator.ErrServerUnusable)
	}
	if fake.Count("") != 1 {
		t.Errorf("%d wrong tokens sent, want 1", fake.Count(""))
	}
}

func TestARightTokenProvesNoOtherToken(t *testing.T) {
	fake := mailutest.Run(t, mailutest.Config{})
	fake.AddUser(user, oldPassword)
	a, b := twoEntries(t, fake, mailutest.DefaultToken, "wrong-token")
	if err := push(t, a); err != nil {
		t.Fatal(err)
	}
	slowly(fake)

	atOnce(20, func() error { return push(t, b) })

	if fake.Count("") != 2 {
		t.Errorf("%d requests, want the right one and one wrong", fake.Count(""))
	}
}

func TestOneTokenOfTwoEntriesIsProvenOnce(t *testing.T) {
	fake := mailutest.Run(t, mailutest.Config{})
	fake.AddUser(user, oldPassword)
	a, b := twoEntries(t, fake, mailutest.DefaultToken, mailutest.DefaultToken)
	if err := push(t, a); err != nil {
		t.Fatal(err)
	}
	slowly(fake)

	atOnce(8, func() error { return push(t, b) })

	if most := fake.MaxInFlight(); most < 2 {
		t.Errorf("%d requests at a time", most)
	}
}

// What each answer shows about the token, and so whether the next requests run
// concurrently.
func TestWhatProvesAToken(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		proves bool
	}{
		{"a user", 200, `{"email":"admin@example.com","password":"x"}`, true},
		{"a change", 200, updated, true},
		{"a domain", 200, `{"name":"example.com"}`, true},
		{"no such user", 404, own(404), true},
		{"an invalid address", 400, own(400), true},
		{"a conflict", 409, own(409), true},
		{"any object", 200, `{}`, false},
		{"a page", 200, "<html>", false},
		{"a body that is no payload", 400, `{"errors":{},"message":"Input payload validation failed"}`, false},
		{"an error", 500, `{"message":"Internal Server Error"}`, false},
		{"too many", 429, `{"message":"Too many attempts from your IP (rate-limit)"}`, false},
		{"a firewall", 403, "<html>", false},
		{"a firewall's 404", 404, `{"code":403,"message":"no"}`, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := judge(answer{status: test.status, body: []byte(test.body), header: http.Header{}}, words())

			if v.proves != test.proves {
				t.Errorf("proves the token: %t", v.proves)
			}
		})
	}
}

func TestUnprovenServersAreAskedOneAtATime(t *testing.T) {
	var inFlight, most atomic.Int32
	server := handler(t, func(w http.ResponseWriter, _ *http.Request) {
		n := inFlight.Add(1)
		defer inFlight.Add(-1)
		most.Store(max(most.Load(), n))
		time.Sleep(2 * time.Millisecond)
		w.WriteHeader(http.StatusInternalServerError)
	})

	atOnce(6, func() error { return push(t, server) })

	if most.Load() != 1 {
		t.Errorf("%d at a time, want 1", most.Load())
	}
}

// Calls that waited for the outcome of a trial start no other trial.
func TestAProvenTokenLetsThoseWhoWaitedGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := onPaper(t, entry("https://mail.example.com"), func(*http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return respond(200, updated), nil
		})
		looked(server, user)
		begun := time.Now()

		errs := atOnce(5, func() error { return setPassword(t, server) })

		if took := time.Since(begun); errors.Join(errs...) != nil || took != 3*time.Second {
			t.Errorf("one request and four, two at a time, took %s: %v", took, errs)
		}
	})
}

func TestATrialEndsWithItsContext(t *testing.T) {
	fake, server := pair(t, mailutest.Config{})
	fake.Inject(mailutest.Fault{Kind: mailutest.HangBefore})
	background, stop := context.WithCancel(t.Context())
	var other sync.WaitGroup
	defer other.Wait()
	defer stop()
	other.Go(func() { _ = server.Knows(background, user) })
	for fake.Count("") < 1 {
		time.Sleep(time.Millisecond)
	}

	err := server.Knows(within(t, 20*time.Millisecond), user)

	mustBe(t, err, context.DeadlineExceeded)
	mustTell(t, server, err, "not sent")
}

func ask(t testing.TB, s *Server, username string) error {
	t.Helper()
	return s.Knows(t.Context(), username)
}

func TestAFirewallsRefusalIsAboutOneUser(t *testing.T) {
	for _, status := range []int{400, 403, 404, 406, 413, 451} {
		for _, body := range foreign {
			t.Run(fmt.Sprint(status, body), func(t *testing.T) {
				fake, server := pair(t, mailutest.Config{})
				fake.AddUser("waf@example.com", oldPassword)
				if err := ask(t, server, user); err != nil {
					t.Fatal(err)
				}
				fake.Inject(mailutest.Fault{Kind: mailutest.HTMLPage, Email: "waf@example.com", Status: status, Body: body})

				asked := ask(t, server, "waf@example.com")
				pushed := server.SetPassword(t.Context(), "waf@example.com", crypto.SecretFromString(newPassword))
				other := push(t, server)

				for _, err := range []error{asked, pushed} {
					mustBe(t, err, rotator.ErrIntercepted)
					mustNotBe(t, err, rotator.ErrRefused, rotator.ErrServerUnusable, rotator.ErrUnverifiable, rotator.ErrUnknownUser)
					if !strings.Contains(err.Error(), "in front of Mailu") || strings.Contains(err.Error(), "API_TOKEN") {
						t.Errorf("says %q", err)
					}
				}
				if other != nil {
					t.Errorf("another user: %v", other)
				}
			})
		}
	}
}

func TestThreeUsersInARowBehindAFirewallCloseTheServer(t *testing.T) {
	fake, server := pair(t, mailutest.Config{})
	fake.Inject(mailutest.Fault{Kind: mailutest.HTMLPage, Status: 403})
	var errs []error
	for _, name := range []string{"a", "a", "a", "b", "c", "d"} {
		errs = append(errs, ask(t, server, name+"@example.com"))
	}

	for i, err := range errs {
		if unusable := i >= 4; errors.Is(err, rotator.ErrServerUnusable) != unusable {
			t.Errorf("question %d: %v", i, err)
		}
	}
	if fake.Count("") != 5 {
		t.Errorf("%d requests, want 5", fake.Count(""))
	}
}

// Requests in flight when the third user closed the server keep their own cause.
func TestTheRowBehindAFirewallChangesNoOtherAnswer(t *testing.T) {
	var h hostState
	refused := judge(answer{status: 403, body: []byte("<html>"), header: http.Header{}}, words())
	for _, name := range []string{"a", "b", "c"} {
		h.note(new(endpoint), name+"@example.com", refused)
	}

	late := h.note(new(endpoint), user, judge(answer{status: 503, header: http.Header{}}, words()))

	if _, closed := h.disabled(new(endpoint)); !closed || late.is(rotator.ErrServerUnusable) || strings.Contains(late.next, "firewall") {
		t.Errorf("closed %t, %v: %s", closed, late.kinds, late.next)
	}
}

func TestASuccessEndsTheRowBehindAFirewall(t *testing.T) {
	fake, server := pair(t, mailutest.Config{})
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		fake.Inject(mailutest.Fault{Kind: mailutest.HTMLPage, Email: name + "@example.com", Status: 403})
		_ = ask(t, server, name+"@example.com")
		if err := ask(t, server, user); err != nil {
			t.Fatalf("after %s: %v", name, err)
		}
	}
}

func TestCheckTellsAFirewallFromAWrongToken(t *testing.T) {
	for _, body := range foreign {
		fake := mailutest.Run(t, mailutest.Config{})
		fake.Inject(mailutest.Fault{Kind: mailutest.HTMLPage, Status: 403, Body: body})

		got := checkOne(t, entry(fake.Origin()))

		if got.WrongToken || got.State != rotator.CheckFailed || !strings.Contains(got.Found, "in front of Mailu") ||
			!strings.Contains(got.Fix, "firewall") || strings.Contains(got.Found+got.Fix, "wrong tokens") {
			t.Errorf("got %+v", got)
		}
	}
}
