package mailutest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailu-rotator/mailu/mailutest"
)

func TestFaultsThatAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		fault  mailutest.Fault
		status int
		start  string
		effect bool
	}{
		"status":                {mailutest.Fault{Kind: mailutest.Status}, 500, `{"message":`, false},
		"status named":          {mailutest.Fault{Kind: mailutest.Status, Status: 503}, 503, `{"message":`, false},
		"status, own body":      {mailutest.Fault{Kind: mailutest.Status, Status: 418, Body: "tea"}, 418, "tea", false},
		"status after":          {mailutest.Fault{Kind: mailutest.StatusAfter, Status: 504}, 504, `{"message":`, true},
		"delay":                 {mailutest.Fault{Kind: mailutest.Delay, Delay: time.Millisecond}, 200, `{"code":200`, true},
		"delay after":           {mailutest.Fault{Kind: mailutest.DelayAfter, Delay: time.Millisecond}, 200, `{"code":200`, true},
		"html page":             {mailutest.Fault{Kind: mailutest.HTMLPage}, 502, "<html>", false},
		"html page as success":  {mailutest.Fault{Kind: mailutest.HTMLPage, Status: 200}, 200, "<html>", false},
		"lie":                   {mailutest.Fault{Kind: mailutest.Lie}, 200, `{"code":200,"message":"User alice@example.com has`, false},
		"redirect":              {mailutest.Fault{Kind: mailutest.Redirect}, 302, "<html>", false},
		"huge body":             {mailutest.Fault{Kind: mailutest.HugeBody, Size: 1 << 20}, 200, `{"code":200,"message":"xxx`, true},
		"garbage":               {mailutest.Fault{Kind: mailutest.GarbageJSON}, 200, `{"code": 200, "mess`, true},
		"late effect, answered": {mailutest.Fault{Kind: mailutest.LateEffect, Status: 504}, 504, `{"message":`, true},
	} {
		t.Run(name, func(t *testing.T) {
			server := runWithAlice(t, mailutest.Config{})
			server.Inject(c.fault)

			got := do(t, server, patch(fresh))

			if got.status != c.status || !strings.HasPrefix(got.body, c.start) {
				t.Errorf("answer %d %.80q, want %d %s…", got.status, got.body, c.status, c.start)
			}
			server.Settle()
			if server.Accepts(alice, "new password") != c.effect || server.Accepts(alice, secret) == c.effect {
				t.Errorf("effect is not %t", c.effect)
			}
		})
	}
}

func TestFaultsThatDoNotAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		kind   mailutest.Kind
		effect bool
	}{
		"reset before": {mailutest.ResetBefore, false},
		"reset after":  {mailutest.ResetAfter, true},
		"hang before":  {mailutest.HangBefore, false},
		"hang after":   {mailutest.HangAfter, true},
		"endless body": {mailutest.EndlessBody, true},
		"late effect":  {mailutest.LateEffect, true},
	} {
		t.Run(name, func(t *testing.T) {
			server := runWithAlice(t, mailutest.Config{})
			server.Inject(mailutest.Fault{Kind: c.kind})
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()

			got, err := try(ctx, server, patch(fresh))

			if err == nil {
				t.Errorf("answer %d %q", got.status, got.body)
			}
			waitFor(t, func() bool { return server.Accepts(alice, "new password") == c.effect })
			if server.Accepts(alice, secret) == c.effect {
				t.Errorf("effect is not %t", c.effect)
			}
		})
	}
}

func TestALateEffectComesAfterItsAnswer(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})
	server.Inject(mailutest.Fault{Kind: mailutest.LateEffect, Delay: time.Second})

	_, err := try(t.Context(), server, patch(fresh))

	if err == nil || !server.Accepts(alice, secret) {
		t.Errorf("error %v, old password accepted %t", err, server.Accepts(alice, secret))
	}
	server.Settle()
	if !server.Accepts(alice, "new password") {
		t.Error("the effect has not come")
	}
}

func TestAResetIsAReset(t *testing.T) {
	for name, config := range map[string]mailutest.Config{"plain": {}, "tls": {TLS: true}} {
		t.Run(name, func(t *testing.T) {
			server := runWithAlice(t, config)
			server.Inject(mailutest.Fault{Kind: mailutest.ResetBefore})

			_, err := tryOver(t.Context(), trusting(t, server), server, patch(fresh))

			if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestAFaultStillAsksForTheToken(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})
	server.Inject(mailutest.Fault{Kind: mailutest.StatusAfter})

	do(t, server, request{method: "PATCH", body: fresh, token: "Bearer wrong"})

	if !server.Accepts(alice, secret) {
		t.Error("a wrong token has set the password")
	}
}

func TestAFaultIsForItsMethodAndUser(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})
	server.AddUser("bob@example.com", secret)
	server.Inject(mailutest.Fault{Kind: mailutest.Status, Method: "PATCH", Email: "Alice@example.com"})

	if got := do(t, server, request{}); got.status != http.StatusOK {
		t.Errorf("other method: status %d", got.status)
	}
	if got := do(t, server, request{method: "PATCH", path: "/api/v1/user/bob@example.com", body: fresh}); got.status != http.StatusOK {
		t.Errorf("other user: status %d", got.status)
	}
	if got := do(t, server, patch(fresh)); got.status != http.StatusInternalServerError {
		t.Errorf("matching: status %d", got.status)
	}
}

func TestAFaultSkipsAndEnds(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})
	server.Inject(mailutest.Fault{Kind: mailutest.Status, Skip: 1, Times: 2})

	var statuses []int
	for range 4 {
		statuses = append(statuses, do(t, server, request{}).status)
	}

	if want := [4]int{200, 500, 500, 200}; [4]int(statuses) != want {
		t.Errorf("statuses %v, want %v", statuses, want)
	}
}

func TestFaultsFollowOneAnother(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})
	server.Inject(
		mailutest.Fault{Kind: mailutest.Status, Status: 503, Times: 1, RetryAfter: "7"},
		mailutest.Fault{Kind: mailutest.Status, Status: 502},
	)

	first := do(t, server, request{})
	second := do(t, server, request{})
	server.ClearFaults()
	third := do(t, server, request{})

	if first.status != 503 || second.status != 502 || third.status != 200 {
		t.Errorf("statuses %d, %d, %d", first.status, second.status, third.status)
	}
	if first.header.Get("Retry-After") != "7" {
		t.Errorf("Retry-After %q", first.header.Get("Retry-After"))
	}
}

func TestARedirectNamesAnotherHostUnlessTold(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})
	server.Inject(
		mailutest.Fault{Kind: mailutest.Redirect, Times: 1},
		mailutest.Fault{Kind: mailutest.Redirect, Status: 308, Location: "/sso/login"},
	)

	first := do(t, server, request{})
	second := do(t, server, request{})

	if first.header.Get("Location") != "http://elsewhere.example/api/v1/user/"+alice {
		t.Errorf("first to %q", first.header.Get("Location"))
	}
	if second.status != 308 || second.header.Get("Location") != "/sso/login" {
		t.Errorf("second %d to %q", second.status, second.header.Get("Location"))
	}
}

func TestCloseEndsWhatHangs(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})
	server.Inject(mailutest.Fault{Kind: mailutest.HangBefore})
	ended := make(chan error, 1)
	go func() {
		_, err := try(t.Context(), server, request{})
		ended <- err
	}()
	waitFor(t, func() bool { return server.Count("GET") == 1 })

	server.Close()

	var failure net.Error
	if err := <-ended; err == nil || errors.As(err, &failure) && failure.Timeout() {
		t.Errorf("the client ended with %v", err)
	}
}
