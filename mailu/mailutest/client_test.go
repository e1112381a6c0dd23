package mailutest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"mailu-rotator/mailu/mailutest"
)

const (
	alice  = "alice@example.com"
	secret = "old password"
	fresh  = `{"raw_password": "new password"}`
)

// reply is a complete answer.
type reply struct {
	status int
	header http.Header
	body   string
}

// request is what do sends; its zero value is an authorised GET of alice.
type request struct {
	method, path, body string
	token              string // "" the right one, "-" no header
	contentType        string // "" application/json, "-" no header
}

func runWithAlice(t *testing.T, config mailutest.Config) *mailutest.Server {
	t.Helper()
	server := mailutest.Run(t, config)
	server.AddUser(alice, secret)
	return server
}

func do(t *testing.T, server *mailutest.Server, ask request) reply {
	t.Helper()
	got, err := try(t.Context(), server, ask)
	if err != nil {
		t.Fatalf("%s %s: %v", ask.method, ask.path, err)
	}
	return got
}

func try(ctx context.Context, server *mailutest.Server, ask request) (reply, error) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	return tryOver(ctx, transport, server, ask)
}

func tryOver(ctx context.Context, transport *http.Transport, server *mailutest.Server, ask request) (reply, error) {
	r, err := ask.build(ctx, server)
	if err != nil {
		return reply{}, err
	}
	client := http.Client{
		Transport:     transport,
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return reply{status: answer.StatusCode, header: answer.Header, body: string(body)}, err
}

func (ask request) build(ctx context.Context, server *mailutest.Server) (*http.Request, error) {
	if ask.method == "" {
		ask.method = http.MethodGet
	}
	if ask.path == "" {
		ask.path = "/api/v1/user/" + alice
	}
	r, err := http.NewRequestWithContext(ctx, ask.method, server.Origin()+ask.path, strings.NewReader(ask.body))
	if err != nil {
		return nil, err
	}
	if ask.token == "" {
		ask.token = "Bearer " + server.Token()
	}
	if ask.token != "-" {
		r.Header.Set("Authorization", ask.token)
	}
	if ask.contentType == "" {
		ask.contentType = "application/json"
	}
	if ask.contentType != "-" {
		r.Header.Set("Content-Type", ask.contentType)
	}
	return r, nil
}

func patch(body string) request {
	return request{method: http.MethodPatch, body: body}
}

func fields(t *testing.T, r reply) map[string]any {
	t.Helper()
	var values map[string]any
	if err := json.Unmarshal([]byte(r.body), &values); err != nil {
		t.Fatalf("body %q: %v", r.body, err)
	}
	return values
}
