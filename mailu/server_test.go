package mailu

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
)

func TestWrongTokenIsSentOnceInARun(t *testing.T) {
	fake, server := pair(t, mailutest.Config{Token: "another-token"})
	mustBe(t, push(t, server), rotator.ErrServerUnusable, rotator.ErrRefused)

	again := push(t, server)
	_, proof := prove(t, server, oldPassword)
	known := server.Knows(t.Context(), user)

	mustBe(t, again, rotator.ErrServerUnusable, rotator.ErrRefused)
	mustTell(t, server, again, "not sent, since earlier in this run", "Invalid API token")
	mustBe(t, proof, rotator.ErrServerUnusable)
	mustNotBe(t, proof, rotator.ErrRefused, rotator.ErrUnverifiable)
	mustBe(t, known, rotator.ErrServerUnusable)
	if fake.Count("") != 1 {
		t.Errorf("%d requests, want 1", fake.Count(""))
	}
}

func TestEveryKindOfRefusalClosesTheServer(t *testing.T) {
	for _, fault := range []mailutest.Fault{
		{Kind: mailutest.Status, Status: 401},
		{Kind: mailutest.Status, Status: 403, Body: own(403)},
		{Kind: mailutest.Status, Status: 403, Body: `{"message":"A valid Bearer token is expected which is provided as request header"}`},
		{Kind: mailutest.HTMLPage, Status: 401},
		{Kind: mailutest.HTMLPage, Status: 404},
		{Kind: mailutest.Status, Status: 300},
		{Kind: mailutest.Redirect, Status: 301},
		{Kind: mailutest.Redirect, Status: 302},
		{Kind: mailutest.Status, Status: 304},
		{Kind: mailutest.Redirect, Status: 308},
	} {
		t.Run(fmt.Sprint(fault.Kind, fault.Status), func(t *testing.T) {
			fake, server := pair(t, mailutest.Config{})
			fake.Inject(fault)

			_, err := prove(t, server, oldPassword)
			_ = push(t, server)

			mustBe(t, err, rotator.ErrServerUnusable)
			if fake.Count("") != 1 {
				t.Errorf("%d requests, want 1", fake.Count(""))
			}
		})
	}
}

// Requests still on their way at that time may get another answer.
func TestAServerStaysClosedForItsFirstReason(t *testing.T) {
	var h hostState
	for _, body := range []string{`{"message":"Invalid API token"}`, `{"message":"A valid Authorization header is mandatory"}`} {
		h.note(new(endpoint), user, judge(answer{status: 403, body: []byte(body), header: http.Header{}}, words()))
	}

	if reason, closed := h.disabled(new(endpoint)); !closed || reason != "status 403: Invalid API token" {
		t.Errorf("closed %t: %q", closed, reason)
	}
}

// A device that demands a login does so for the whole host, whatever the path.
func TestWhichEntriesOfAHostARefusalCloses(t *testing.T) {
	for status, both := range map[int]bool{http.StatusUnauthorized: true, http.StatusNotFound: false} {
		var h hostState
		first, second := &endpoint{api: "https://mail.example.com/api/v1"}, &endpoint{api: "https://mail.example.com/other"}

		h.note(first, user, judge(answer{status: status, body: []byte("<html>"), header: http.Header{}}, words()))

		_, closed := h.disabled(first)
		if _, other := h.disabled(second); !closed || other != both {
			t.Errorf("status %d: closed %t, the other entry %t", status, closed, other)
		}
	}
}

func TestDisabledAPIClosesTheServer(t *testing.T) {
	fake, server := pair(t, mailutest.Config{APIDisabled: true})

	mustBe(t, push(t, server), rotator.ErrServerUnusable)
	mustBe(t, push(t, server), rotator.ErrServerUnusable)

	if fake.Count("") != 1 {
		t.Errorf("%d requests, want 1", fake.Count(""))
	}
}

func TestCallersQueuedBehindARefusedTokenAreNotSent(t *testing.T) {
	fake, server := pair(t, mailutest.Config{Token: "another-token"})
	fake.Inject(mailutest.Fault{Kind: mailutest.Delay, Delay: 50 * time.Millisecond})

	errs := atOnce(8, func() error { return push(t, server) })

	for _, err := range errs {
		mustBe(t, err, rotator.ErrServerUnusable, rotator.ErrRefused)
	}
	if n := fake.Count(""); n != 1 {
		t.Errorf("%d wrong tokens sent, want 1", n)
	}
}

func TestTriesAgainStopWhenTheServerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		patches := 0
		server := onPaper(t, entry("https://mail.example.com"), func(req *http.Request) (*http.Response, error) {
			if req.Method == http.MethodGet {
				return respond(403, `{"message":"Invalid API token"}`), nil
			}
			patches++
			return respond(503, ""), nil
		})
		pushed := make(chan error, 1)
		go func() { pushed <- push(t, server) }()
		time.Sleep(100 * time.Millisecond) // the push waits at least 500 ms

		_, err := prove(t, server, oldPassword)

		mustBe(t, err, rotator.ErrServerUnusable)
		err = <-pushed
		mustBe(t, err, rotator.ErrServerUnusable)
		mustNotBe(t, err, rotator.ErrRefused)
		mustTell(t, server, err, "the one before: status 503", "Invalid API token")
		if patches != 1 {
			t.Errorf("%d pushes, want 1", patches)
		}
	})
}

func TestARefusedTokenClosesTheServerForItsRunOnly(t *testing.T) {
	fake := mailutest.Run(t, mailutest.Config{Token: "another-token"})
	fake.AddUser(user, oldPassword)
	run := func() *Server {
		servers, err := New([]ServerConfig{entry(fake.Origin())}, quick())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(servers.Close)
		return serverOf(t, servers, rotator.Origin(fake.Origin()))
	}
	first := run()
	mustBe(t, push(t, first), rotator.ErrServerUnusable)
	fake.SetToken(mailutest.DefaultToken)

	mustBe(t, push(t, first), rotator.ErrServerUnusable)
	if err := push(t, run()); err != nil {
		t.Errorf("next run: %v", err)
	}
}

func TestEntriesOfOneAPIHostShareLimitAndLatch(t *testing.T) {
	fake := mailutest.Run(t, mailutest.Config{Token: "another-token"})
	a, b := entry("https://a.example"), entry("https://b.example")
	a.APIURL, b.APIURL = fake.Origin()+"/api/v1", fake.Origin()+"/api/v1"
	a.MaxConcurrent, b.MaxConcurrent = 5, 3
	servers, err := New([]ServerConfig{a, b}, quick())
	if err != nil {
		t.Fatal(err)
	}
	one, other := serverOf(t, servers, a.Origin), serverOf(t, servers, b.Origin)

	_ = push(t, one)
	err = push(t, other)

	mustBe(t, err, rotator.ErrServerUnusable)
	if fake.Count("") != 1 || one.MaxConcurrent() != 3 || other.MaxConcurrent() != 3 {
		t.Errorf("%d requests, limits %d and %d", fake.Count(""), one.MaxConcurrent(), other.MaxConcurrent())
	}
}

func TestNeverMoreAtATimeThanAllowed(t *testing.T) {
	fake, server := pair(t, mailutest.Config{})
	_ = push(t, server) // which proves the token
	fake.Inject(
		mailutest.Fault{Kind: mailutest.Status, Status: 503, Times: 2}, // fewer than one call tries
		mailutest.Fault{Kind: mailutest.Delay, Delay: 10 * time.Millisecond},
	)

	errs := atOnce(16, func() error { return push(t, server) })

	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if most := fake.MaxInFlight(); most != 2 {
		t.Errorf("%d requests at a time, want 2", most)
	}
}

func TestQueuedCallsGiveUpWithTheirContext(t *testing.T) {
	fake, server := pair(t, mailutest.Config{})
	_ = push(t, server) // which proves the token
	fake.Inject(mailutest.Fault{Kind: mailutest.HangBefore})
	background, stop := context.WithCancel(t.Context())
	var others sync.WaitGroup
	defer others.Wait()
	defer stop()
	for range server.MaxConcurrent() {
		others.Go(func() { _ = server.SetPassword(background, user, crypto.SecretFromString(newPassword)) })
	}
	for fake.Count("") < 1+server.MaxConcurrent() {
		time.Sleep(time.Millisecond)
	}

	err := server.SetPassword(within(t, 20*time.Millisecond), user, crypto.SecretFromString(newPassword))

	mustBe(t, err, context.DeadlineExceeded)
	mustNotBe(t, err, rotator.ErrRefused)
	mustTell(t, server, err, "not sent, since the time ran out in the queue")
	if fake.Count("") != 1+server.MaxConcurrent() {
		t.Errorf("%d requests, want %d", fake.Count(""), 1+server.MaxConcurrent())
	}
}
