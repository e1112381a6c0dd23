package mailu

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
)

func checkOne(t *testing.T, c ServerConfig) Checked {
	t.Helper()
	servers, err := New([]ServerConfig{c}, quick())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(servers.Close)
	return servers.Check(t.Context(), []rotator.Origin{c.Origin})[0]
}

func TestCheckNeedsNoTenant(t *testing.T) {
	fake := mailutest.Run(t, mailutest.Config{})

	got := checkOne(t, entry(fake.Origin()))

	want := rotator.Passed(fake.Origin(), "API on, token accepted, over plain http")
	if got.Check != want || got.WrongToken {
		t.Errorf("got %+v", got)
	}
}

func TestCheckTellsTheCertificate(t *testing.T) {
	fake := mailutest.Run(t, mailutest.Config{TLS: true})
	c := entry(fake.Origin())
	c.CAFile = fake.CAFile()

	got := checkOne(t, c)

	if got.State == rotator.CheckFailed || !strings.Contains(got.Found, "token accepted, TLS 1.3, certificate until 2") {
		t.Errorf("got %+v", got)
	}
}

func TestACertificateThatEndsSoonIsAWarning(t *testing.T) {
	for left, want := range map[time.Duration]rotator.CheckState{
		13 * 24 * time.Hour: rotator.CheckWarned, 15 * 24 * time.Hour: rotator.CheckOK,
	} {
		state := &tls.ConnectionState{Version: tls.VersionTLS13, PeerCertificates: []*x509.Certificate{{NotAfter: time.Now().Add(left)}}}

		if got := accepted("https://mail.example.com", state); got.State != want {
			t.Errorf("%s before its end: %+v", left, got)
		}
	}
}

// An operator is waiting.
func TestCheckWaitsTenSecondsAtMost(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{time.Second: time.Second, time.Minute: 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			c, begun := entry("https://mail.example.com"), time.Now()
			c.Timeout = timeout
			servers, err := New([]ServerConfig{c}, Options{transport: inMemory(func(req *http.Request) (*http.Response, error) {
				<-req.Context().Done()
				return nil, req.Context().Err()
			})})
			if err != nil {
				t.Fatal(err)
			}

			got := servers.Check(t.Context(), []rotator.Origin{c.Origin})[0]

			if took := time.Since(begun); took != want || got.State != rotator.CheckFailed {
				t.Errorf("timeout %s: %+v after %s", timeout, got, took)
			}
		})
	}
}

// TestCheckSendsOneRequestWhateverTheAnswer: even where a run would retry.
func TestCheckSendsOneRequestWhateverTheAnswer(t *testing.T) {
	for found, fault := range map[string]mailutest.Fault{
		"status 429":   {Kind: mailutest.Status, Status: 429},
		"status 503":   {Kind: mailutest.Status, Status: 503},
		"status 500":   {Kind: mailutest.Status, Status: 500},
		"status 401":   {Kind: mailutest.Status, Status: 401},
		"a redirect":   {Kind: mailutest.Redirect, Status: 301},
		"reset by":     {Kind: mailutest.ResetBefore},
		"not exist":    {Kind: mailutest.GarbageJSON},
		"no answer":    {Kind: mailutest.HangBefore},
		"larger than ": {Kind: mailutest.HugeBody},
	} {
		t.Run(found, func(t *testing.T) {
			fake := mailutest.Run(t, mailutest.Config{})
			for range 5 {
				fake.Inject(fault)
			}
			c := entry(fake.Origin())
			c.Timeout = 500 * time.Millisecond

			got := checkOne(t, c)

			if got.State != rotator.CheckFailed || got.Fix == "" || got.WrongToken {
				t.Errorf("got %+v", got)
			}
			if n := fake.Count(""); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

func TestCheckSaysThatAWrongTokenCounts(t *testing.T) {
	fake := mailutest.Run(t, mailutest.Config{Token: "another-token"})

	got := checkOne(t, entry(fake.Origin()))

	if got.State != rotator.CheckFailed || !got.WrongToken || !strings.Contains(got.Found, "Mailu counts it") {
		t.Errorf("got %+v", got)
	}
	if n := fake.Count(""); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

// TestCheckOfEntriesWithOneHostCountsOneWrongToken: they share Mailu's limit, so after
// a refusal of one, no request is sent for the others.
func TestCheckOfEntriesWithOneHostCountsOneWrongToken(t *testing.T) {
	fake := mailutest.Run(t, mailutest.Config{Token: "another-token"})
	var configs []ServerConfig
	var origins []rotator.Origin
	for i := range 8 {
		c := entry(fmt.Sprintf("https://mail%d.example.com", i))
		c.APIURL = fake.Origin() + "/api/v1"
		configs, origins = append(configs, c), append(origins, c.Origin)
	}
	servers, err := New(configs, quick())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(servers.Close)

	checks := servers.Check(t.Context(), origins)

	if n := fake.Count(""); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	for i, c := range checks {
		if c.Name != string(origins[i]) || c.State != rotator.CheckFailed {
			t.Errorf("%s: got %+v", origins[i], c)
		}
	}
}

func TestCheckOfAServerWithoutTheAPISaysHowToEnableIt(t *testing.T) {
	for _, redirect := range []bool{false, true} {
		fake := mailutest.Run(t, mailutest.Config{APIDisabled: true, WebmailRedirect: redirect})

		got := checkOne(t, entry(fake.Origin()))

		if got.State != rotator.CheckFailed || !strings.Contains(got.Fix, "API=true") || fake.Count("") != 1 {
			t.Errorf("redirect %t: got %+v after %d requests", redirect, got, fake.Count(""))
		}
	}
}

// TestCheckBelievesNoUserThatCannotExist: a server that answers 200 to everything is
// not Mailu.
func TestCheckBelievesNoUserThatCannotExist(t *testing.T) {
	server := handler(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"email":"`+nobody+`"}`) })
	c := entry(string(server.config.Origin))
	c.Token = crypto.SecretFromString(mailutest.DefaultToken)

	got := checkOne(t, c)

	if got.State != rotator.CheckFailed || !strings.Contains(got.Fix, "api_url") {
		t.Errorf("got %+v", got)
	}
}
