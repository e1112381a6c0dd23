package mailu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
)

var (
	_ rotator.Mailu  = (*Servers)(nil)
	_ rotator.Server = (*Server)(nil)
)

const (
	user        = "admin@example.com"
	oldPassword = "the-former-password"
	newPassword = `n3w-"pass<word>&/` // with characters that JSON, HTML and URLs escape
)

// quick shortens the waits between tries for tests.
func quick() Options {
	return Options{RetryWait: time.Millisecond, MaxRetryWait: 5 * time.Millisecond}
}

func entry(origin string) ServerConfig {
	return ServerConfig{
		Origin:        rotator.Origin(origin),
		Token:         crypto.SecretFromString(mailutest.DefaultToken),
		MaxConcurrent: 2,
		Timeout:       5 * time.Second,
	}
}

func open(t testing.TB, c ServerConfig, o Options) *Server {
	t.Helper()
	servers, err := New([]ServerConfig{c}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(servers.Close)
	return serverOf(t, servers, c.Origin)
}

func serverOf(t testing.TB, servers *Servers, origin rotator.Origin) *Server {
	t.Helper()
	s, err := servers.Server(origin)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*Server)
}

// pair is a Mailu with one user, and a client for it.
func pair(t testing.TB, config mailutest.Config) (*mailutest.Server, *Server) {
	t.Helper()
	fake := mailutest.Run(t, config)
	fake.AddUser(user, oldPassword)
	c := entry(fake.Origin())
	c.CAFile = fake.CAFile()
	return fake, open(t, c, quick())
}

// push pushes after a look, with which every rotation begins.
func push(t testing.TB, s *Server) error {
	t.Helper()
	looked(s, user)
	return s.SetPassword(t.Context(), user, crypto.SecretFromString(newPassword))
}

// looked sets the state after this release's answer about the user.
func looked(s *Server, username string) {
	s.accounts.Store(username, accountOf([]byte(`{"enabled":true,"enable_imap":true,"change_pw_next_login":false}`)))
}

func prove(t testing.TB, s *Server, password string) (rotator.Verification, error) {
	t.Helper()
	return proof(s.Verify(t.Context(), user, crypto.SecretFromString(password)))
}

// proof returns the result of a check, if there is one.
func proof(check *rotator.HashCheck, err error) (rotator.Verification, error) {
	if err != nil || check == nil {
		return rotator.Unproven, err
	}
	return check.Check()
}

// handler serves what mailutest has no fault for.
func handler(t testing.TB, serve http.HandlerFunc) *Server {
	t.Helper()
	fake := httptest.NewServer(serve)
	t.Cleanup(fake.Close)
	return open(t, entry(fake.URL), quick())
}

// inMemory is a transport without a network, for tests in a synctest bubble.
type inMemory func(*http.Request) (*http.Response, error)

func (f inMemory) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func respond(status int, body string, header ...string) *http.Response {
	resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
	for i := 0; i < len(header); i += 2 {
		resp.Header.Set(header[i], header[i+1])
	}
	return resp
}

// own is the body of a refusal in Mailu's own form.
func own(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return `{"message":"A valid Authorization header is mandatory"}`
	case http.StatusForbidden:
		return `{"message":"Invalid API token"}`
	}
	return fmt.Sprintf(`{"code":%d,"message":"as Mailu says"}`, status)
}

// foreign is what a device in front of Mailu answers: a page, or JSON.
var foreign = []string{"<html><title>Request blocked</title></html>", `{"message":"Forbidden"}`, `{"error":"no route"}`, `{"code":"1020","message":"Access denied"}`, ""}

const updated = `{"code":200,"message":"User admin@example.com has been updated"}`

// atOnce runs that many concurrent calls.
func atOnce(times int, call func() error) []error {
	errs := make([]error, times)
	var group sync.WaitGroup
	for i := range errs {
		group.Go(func() { errs[i] = call() })
	}
	group.Wait()
	return errs
}

func mustBe(t testing.TB, err error, kinds ...error) {
	t.Helper()
	for _, kind := range kinds {
		if !errors.Is(err, kind) {
			t.Errorf("error %q is not %q", err, kind)
		}
	}
}

func mustNotBe(t testing.TB, err error, kinds ...error) {
	t.Helper()
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			t.Errorf("error %q is %q", err, kind)
		}
	}
}

// mustTell checks what every error promises: server, user, cause, next step.
func mustTell(t testing.TB, s *Server, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, word := range append(words, string(s.config.Origin), user) {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
	for _, secret := range []string{mailutest.DefaultToken, newPassword, oldPassword} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("error %q gives a secret away", err)
		}
	}
}

func limitedTo(t testing.TB, err error) time.Duration {
	t.Helper()
	var limited *rotator.RateLimitedError
	if !errors.As(err, &limited) {
		t.Fatalf("error %q is no RateLimitedError", err)
	}
	return limited.After
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
