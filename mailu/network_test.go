package mailu

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
)

func TestCertificatesAreChecked(t *testing.T) {
	fake, trusting := pair(t, mailutest.Config{TLS: true})
	stranger := mailutest.Run(t, mailutest.Config{TLS: true})
	if err := push(t, trusting); err != nil {
		t.Errorf("with the right authority: %v", err)
	}
	before := fake.Count("")

	for _, caFile := range []string{"", stranger.CAFile()} { // "" is the system's roots
		c := entry(fake.Origin())
		c.CAFile = caFile
		server := open(t, c, quick())

		err := push(t, server)

		mustTell(t, server, err, "certificate", "set ca_file")
		mustNotBe(t, err, rotator.ErrRefused, rotator.ErrServerUnusable)
	}
	if fake.Count("") != before {
		t.Error("a request got through to a server that was not trusted")
	}
}

func TestCertificateOfAnotherNameIsRefused(t *testing.T) {
	fake := mailutest.Run(t, mailutest.Config{TLS: true, Listen: "127.0.0.2:0"})
	c := entry(fake.Origin())
	c.CAFile = fake.CAFile()
	server := open(t, c, quick())

	err := push(t, server)

	mustTell(t, server, err, "certificate", "make the name in origin or api_url one")
	if fake.Count("") != 0 {
		t.Error("a request got through")
	}
}

func TestNetworkErrorsSayWhatToDo(t *testing.T) {
	plain := mailutest.Run(t, mailutest.Config{})
	gone := mailutest.Run(t, mailutest.Config{})
	gone.Close()
	for origin, words := range map[string]string{
		gone.Origin(): "see whether Mailu is up",
		strings.Replace(plain.Origin(), "http:", "https:", 1): "the one for TLS",
	} {
		server := open(t, entry(origin), quick())

		err := push(t, server)

		mustTell(t, server, err, words)
		mustNotBe(t, err, rotator.ErrRefused, rotator.ErrServerUnusable)
	}
}

func TestOnlyNetworkErrorsThatMayPassAreTriedAgain(t *testing.T) {
	tests := []struct {
		err   error
		tries int
		words string
	}{
		{&net.DNSError{Err: "no such host", IsNotFound: true}, 1, "resolves on this host"},
		{&net.DNSError{Err: "server misbehaving", IsTemporary: true}, 3, "resolves on this host"},
		{&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}, 1, "renew or replace"},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, 1, "set ca_file"},
		{tls.AlertError(70), 1, "TLS 1.2"},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(70)}, 1, "TLS 1.2"}, // as crypto/tls reports an alert over TCP
		{&net.OpError{Op: "remote error", Err: tls.AlertError(116)}, 1, "client certificate"},
		{io.ErrUnexpectedEOF, 3, "network to it"},
	}
	for _, test := range tests {
		tries := 0
		options := quick()
		options.transport = inMemory(func(*http.Request) (*http.Response, error) {
			tries++
			return nil, test.err
		})
		server := open(t, entry("https://mail.example.com"), options)

		err := push(t, server)

		mustTell(t, server, err, test.words)
		if tries != test.tries {
			t.Errorf("%v: %d tries, want %d", test.err, tries, test.tries)
		}
	}
}

func TestRedirectsNeverGetTheToken(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		fake, server := pair(t, mailutest.Config{})
		elsewhere := mailutest.Run(t, mailutest.Config{})
		elsewhere.AddUser(user, oldPassword)
		fake.Inject(mailutest.Fault{Kind: mailutest.Redirect, Status: status, Location: elsewhere.Origin() + "/api/v1/user/" + user + "?secret=query"})

		pushed := push(t, server)
		_, proof := prove(t, server, oldPassword)

		mustTell(t, server, pushed, elsewhere.Origin(), "set api_url")
		for _, err := range []error{pushed, proof} {
			mustBe(t, err, rotator.ErrServerUnusable)
			mustNotBe(t, err, rotator.ErrRefused, rotator.ErrUnverifiable)
			if strings.Contains(err.Error(), "query") {
				t.Errorf("%q says more than the place", err)
			}
		}
		if elsewhere.Count("") != 0 || fake.Count("") != 1 {
			t.Errorf("status %d: %d and %d requests", status, fake.Count(""), elsewhere.Count(""))
		}
	}
}

func TestARedirectSaysWhereTheAPIIs(t *testing.T) {
	tests := []struct{ origin, location, words string }{
		{"http://mail.example.com", "https://mail.example.com/api/v1/user/admin@example.com", "use https: set api_url to https://mail.example.com/api/v1"},
		{"http://mail.example.com", "https://mail.example.com/api/v1/user/admin%40example.com?x=query", "use https: set api_url to https://mail.example.com/api/v1"},
		{"https://mail.example.com", "/other/api/v1/user/admin@example.com", ", not followed: set api_url to https://mail.example.com/other/api/v1"},
		{"https://mail.example.com", "/user/site/api/v1/user/admin@example.com", ", not followed: set api_url to https://mail.example.com/user/site/api/v1"},
		{"https://mail.example.com", "https://user:query@other.example/api/v1/user/admin@example.com#query", "if that server is yours, set api_url to https://other.example/api/v1"},
		{"https://mail.example.com", "/webmail/?query", "a redirect to https://mail.example.com/webmail/, not followed: set api_url to where the API is, or enable it (API=true)"},
		{"https://mail.example.com", "https://sso.example/login?next=query", "a redirect to https://sso.example/login, not followed: set api_url"},
		{"https://mail.example.com", "", "a redirect to nowhere, not followed"},
		{"https://mail.example.com", "::query", "a redirect to nowhere, not followed"},
		{"https://mail.example.com", "/" + mailutest.DefaultToken, "/[redacted], not followed"},
	}
	for _, test := range tests {
		c, options := entry(test.origin), quick()
		c.AllowHTTP = true
		options.transport = inMemory(func(*http.Request) (*http.Response, error) { return respond(308, "", "Location", test.location), nil })
		server := open(t, c, options)

		err := push(t, server)

		mustTell(t, server, err, test.words)
		if strings.Contains(err.Error(), "query") {
			t.Errorf("%q says too much", err)
		}
	}
}

func TestARedirectTellsOfADisabledAPI(t *testing.T) {
	fake, server := pair(t, mailutest.Config{APIDisabled: true, WebmailRedirect: true})

	err := push(t, server)

	mustTell(t, server, err, "a redirect to", "enable it (API=true)")
	if fake.Count("") != 1 {
		t.Errorf("%d requests, want 1", fake.Count(""))
	}
}

// Go never uses the environment's proxy for loopback, so the test can only check that
// none is configured.
func TestNoProxyIsUsed(t *testing.T) {
	server := open(t, entry("https://mail.example.com"), Options{})

	if server.transport.(*http.Transport).Proxy != nil {
		t.Error("the transport has a proxy")
	}
}

func TestConnectionsAreKept(t *testing.T) {
	var connections atomic.Int32
	fake := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(updated))
	}))
	fake.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	fake.Start()
	t.Cleanup(fake.Close)
	server := open(t, entry(fake.URL), quick())

	for range 5 {
		if err := push(t, server); err != nil {
			t.Fatal(err)
		}
	}

	if connections.Load() != 1 {
		t.Errorf("%d connections, want 1", connections.Load())
	}
}
