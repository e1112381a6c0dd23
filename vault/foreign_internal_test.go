package vault

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestEveryRedirectIsForeignAndSaysWhere(t *testing.T) {
	asked := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: "vault.example.com", Path: "/v1/x"}}
	for _, test := range []struct {
		status             int
		location, to, what string
	}{
		{300, "https://sso.example.com/login", "redirected to https://sso.example.com ", "Vault itself"},
		{399, "https://sso.example.com/login", "redirected to https://sso.example.com ", "Vault itself"},
		{304, "", "an unknown place", "what stands before Vault"},
		{302, "mailto:a@example.com", "an unknown place", "what stands before Vault"},
		{307, "https://vault.example.com:8200/v1/x", "redirected to https://vault.example.com:8200 ", "the active node"},
	} {
		resp := &http.Response{StatusCode: test.status, Header: http.Header{}, Request: asked}
		if test.location != "" {
			resp.Header.Set("Location", test.location)
		}

		err := foreign(asked, resp)

		if err == nil || !strings.Contains(err.Error(), test.to) || !strings.Contains(err.Error(), test.what) {
			t.Errorf("%d to %q: got %v", test.status, test.location, err)
		}
	}
}

func TestNothingForeignIsTriedAgain(t *testing.T) {
	for _, err := range []error{errPage, &redirectError{}} {
		again, stop := mayPass(t.Context(), nil, &url.Error{Op: "Get", Err: fmt.Errorf("round trip: %w", err)})

		if again || stop != nil || !errors.Is(foreignOf(fmt.Errorf("read: %w", err)), err) {
			t.Errorf("%v: again %t, %v", err, again, stop)
		}
	}
}
