package mailu

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
)

func TestOriginThatIsNotListedHasNoServer(t *testing.T) {
	servers, err := New([]ServerConfig{entry("https://mail.example.com")}, Options{})
	if err != nil {
		t.Fatal(err)
	}

	for _, origin := range []rotator.Origin{"https://mail.example.org", "http://mail.example.com", "https://mail.example.com:8443", ""} {
		server, err := servers.Server(origin)

		mustBe(t, err, rotator.ErrOriginNotListed)
		if server != nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", origin)) || !strings.Contains(err.Error(), "list the server") {
			t.Errorf("%q: %v, %v", origin, server, err)
		}
	}
}

func TestEntriesThatAreRefused(t *testing.T) {
	noPEM := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(noPEM, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		spoil func(*ServerConfig)
		words string
	}{
		{"no origin", func(c *ServerConfig) { c.Origin = "" }, "origin:"},
		{"an origin in another spelling", func(c *ServerConfig) { c.Origin = "https://Mail.example.com:443/" }, `write it as "https://mail.example.com"`},
		{"an origin with credentials", func(c *ServerConfig) { c.Origin = "https://u:p@mail.example.com" }, "credentials"},
		{"plain http", func(c *ServerConfig) { c.Origin = "http://mail.example.com" }, "origin: plain http"},
		{"plain http to a private address", func(c *ServerConfig) { c.Origin = "http://192.168.1.2" }, "origin: plain http"},
		{"plain http to a name that looks local", func(c *ServerConfig) { c.Origin = "http://localhost.example.com" }, "origin: plain http"},
		{"plain http to an address that looks local", func(c *ServerConfig) { c.Origin = "http://127.0.0.1.example.com" }, "origin: plain http"},
		{"a plain http API", func(c *ServerConfig) { c.APIURL = "http://mail.example.com/api/v1" }, "api_url: plain http"},
		{"an API URL without host", func(c *ServerConfig) { c.APIURL = "/api/v1" }, "api_url:"},
		{"an API URL with query", func(c *ServerConfig) { c.APIURL = "https://mail.example.com/api?x=1" }, "path only"},
		{"an API URL with an empty query", func(c *ServerConfig) { c.APIURL = "https://mail.example.com/api?" }, "path only"},
		{"an API URL with fragment", func(c *ServerConfig) { c.APIURL = "https://mail.example.com/api#x" }, "path only"},
		{"no token", func(c *ServerConfig) { c.Token = crypto.Secret{} }, "token is empty"},
		{"a token with line end", func(c *ServerConfig) { c.Token = crypto.SecretFromString("tok3n-value\n") }, "not fit for a header"},
		{"a token with space", func(c *ServerConfig) { c.Token = crypto.SecretFromString("tok3n value") }, "not fit for a header"},
		{"a token outside ASCII", func(c *ServerConfig) { c.Token = crypto.SecretFromString("tok3nä") }, "not fit for a header"},
		{"no requests at a time", func(c *ServerConfig) { c.MaxConcurrent = 0 }, "max_concurrent is 0"},
		{"no timeout", func(c *ServerConfig) { c.Timeout = 0 }, "timeout is 0s"},
		{"a negative timeout", func(c *ServerConfig) { c.Timeout = -time.Second }, "timeout is -1s"},
		{"an unknown proof", func(c *ServerConfig) { c.Verify = "login" }, `verify is "login"`},
		{"a missing CA file", func(c *ServerConfig) { c.CAFile = "/nonexistent/ca.pem" }, "ca_file: open /nonexistent/ca.pem"},
		{"a CA file without certificate", func(c *ServerConfig) { c.CAFile = noPEM }, "no PEM certificate"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := entry("https://mail.example.com")
			test.spoil(&c)

			servers, err := New([]ServerConfig{c}, Options{})

			if err == nil || servers != nil || !strings.Contains(err.Error(), test.words) || strings.Contains(err.Error(), "tok3n") {
				t.Errorf("%v, want %q", err, test.words)
			}
		})
	}
}

func TestAllThatIsWrongIsSaidAtOnce(t *testing.T) {
	bad := entry("https://a.example")
	bad.MaxConcurrent, bad.Timeout, bad.Token = -1, 0, crypto.Secret{}

	_, err := New([]ServerConfig{bad, entry("http://b.example"), entry("https://c.example"), entry("https://c.example")}, Options{})

	if err == nil {
		t.Fatal("no error")
	}
	for _, words := range []string{"max_concurrent", "timeout", "token", `"http://b.example"`, `"https://c.example": listed twice`, `"https://a.example": max_concurrent`} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("%q does not say %q", err, words)
		}
	}
}

func TestEntriesThatAreTaken(t *testing.T) {
	for _, change := range []func(*ServerConfig){
		func(*ServerConfig) {},
		func(c *ServerConfig) { c.Origin = "http://127.0.0.1:8080" },
		func(c *ServerConfig) { c.Origin = "http://[::1]:8080" },
		func(c *ServerConfig) { c.Origin = "http://localhost" },
		func(c *ServerConfig) { c.APIURL = "http://127.0.0.1:8080/api/v1/" },
		func(c *ServerConfig) { c.Origin, c.AllowHTTP = "http://mail.internal.example", true },
		func(c *ServerConfig) { c.Verify = VerifyHash },
	} {
		c := entry("https://mail.example.com")
		change(&c)
		if _, err := New([]ServerConfig{c}, Options{}); err != nil {
			t.Errorf("%s %s: %v", c.Origin, c.APIURL, err)
		}
	}
}

func TestAPIURLReplacesTheDefault(t *testing.T) {
	fake := mailutest.Run(t, mailutest.Config{})
	fake.AddUser(user, oldPassword)
	c := entry("https://webmail.example.com")
	c.APIURL = fake.Origin() + "/api/v1/"
	server := open(t, c, quick())

	if err := push(t, server); err != nil || !fake.Accepts(user, newPassword) {
		t.Error(err)
	}
}

func TestAWipedTokenIsNotSent(t *testing.T) {
	fake := mailutest.Run(t, mailutest.Config{})
	c := entry(fake.Origin())
	server := open(t, c, quick())
	c.Token.Wipe()

	err := push(t, server)

	if err == nil || !strings.Contains(err.Error(), "wiped") || fake.Count("") != 0 {
		t.Errorf("%v, %d requests", err, fake.Count(""))
	}
}

func TestNothingPrintsTheToken(t *testing.T) {
	c := entry("https://mail.example.com")
	servers, err := New([]ServerConfig{c}, Options{})
	if err != nil {
		t.Fatal(err)
	}

	for _, value := range []any{c, servers, serverOf(t, servers, c.Origin), *serverOf(t, servers, c.Origin)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if strings.Contains(fmt.Sprintf(verb, value), mailutest.DefaultToken) {
				t.Errorf("%s of %T prints the token", verb, value)
			}
		}
	}
}

func TestTokensAreWipedAtTheEndOfTheRun(t *testing.T) {
	config := entry("https://mail.example.com")
	servers, err := New([]ServerConfig{config}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	value := config.Token.Reveal()

	servers.Close()

	if !config.Token.Empty() || strings.Trim(string(value), "\x00") != "" {
		t.Errorf("%q is left", value)
	}
}

func TestServerWithoutATokenIsExcludedAlone(t *testing.T) {
	unusable := ServerConfig{Origin: "https://mail.example.org", APIURL: "https://api.example.org/api/v1", Unusable: os.ErrNotExist}
	servers, err := New([]ServerConfig{entry("https://mail.example.com"), unusable}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(servers.Close)

	serverOf(t, servers, "https://mail.example.com")
	_, err = servers.Server(unusable.Origin)

	mustBe(t, err, os.ErrNotExist)
	mustBe(t, servers.CreateUser(t.Context(), unusable.Origin, user, crypto.Secret{}), os.ErrNotExist)
	if got := servers.API(unusable.Origin); got != "api.example.org" {
		t.Errorf("its API is %q", got)
	}
}
