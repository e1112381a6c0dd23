package main

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"
)

// A rotation, a take-over and an abandonment, as the proxies see them.
func TestRequestsAreToldApartByWhatTheyDo(t *testing.T) {
	const record, user = "/v1/vault/data/smtp/a/admin", "/api/v1/user/admin@a.example"
	writes := func(current, pending string) string {
		if pending == "" {
			return `{"options":{"cas":1},"data":{"password":"` + current + `"}}`
		}
		return `{"options":{"cas":1},"data":{"password":"` + current + `","pending":{"password":"` + pending + `"}}}`
	}
	w := &watch{observer: newObserver()}
	w.byUser["admin@a.example"] = "a"
	sequence := []struct {
		method, path, body string
		want               step
		tenant             string
	}{
		{"PUT", "/v1/auth/approle/login", "{}", login, ""},
		{"GET", "/v1/sys/internal/ui/mounts/vault", "", mount, ""},
		{"GET", "/v1/sys/health?standbyok=true", "", clock, ""},
		{"GET", "/v1/transit/export/encryption-key/smtp-master", "", keys, ""},
		{"GET", "/v1/vault/metadata/smtp?list=true", "", list, ""},
		{"GET", record, "", read, "a"},
		{"GET", user, "", look, "a"},
		{"PUT", record, writes("s1", "s2"), prepare, "a"},
		{"PATCH", user, `{"raw_password":"secret"}`, push, "a"},
		{"PUT", record, writes("s1", "s2"), takeOver, "a"},
		{"GET", user, "", verify, "a"},
		{"PUT", record, writes("s2", ""), commit, "a"},
		{"GET", user, "", look, "a"},
		{"PUT", record, writes("s2", "s3"), prepare, "a"},
		{"PUT", record, writes("s2", ""), abandon, "a"},
		{"PUT", "/v1/auth/token/revoke-self", "{}", other, ""},
	}
	for i, next := range sequence {
		r := httptest.NewRequest(next.method, next.path, strings.NewReader(next.body))

		got := w.see(r)
		r.Body = io.NopCloser(strings.NewReader(next.body))
		again := w.see(r)

		if got.step != next.want || got.tenant != next.tenant || again != got {
			t.Errorf("request %d, %s %s: %q of %q, then %q; want %q", i, next.method, next.path, got.step, got.tenant, again.step, next.want)
		}
	}
}
