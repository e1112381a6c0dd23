package mailutest_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"mailu-rotator/mailu/mailutest"
)

func TestATLSServerIsTrustedByItsAuthorityAlone(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{TLS: true})

	if _, err := try(t.Context(), server, request{}); err == nil {
		t.Error("a client without the authority is served")
	}

	got, err := tryOver(t.Context(), trusting(t, server), server, request{})
	if err != nil || got.status != http.StatusOK {
		t.Errorf("a client with the authority: status %d, %v", got.status, err)
	}
}

func TestTheAuthorityFileLastsUntilClose(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{TLS: true})

	content, err := os.ReadFile(server.CAFile())
	if err != nil || string(content) != string(server.CAPEM()) {
		t.Errorf("the file holds %q, %v", content, err)
	}

	server.Close()
	if _, err := os.Stat(server.CAFile()); err == nil {
		t.Error("the file is still there")
	}
}

func TestRequestsAreRememberedWithoutSecrets(t *testing.T) {
	var time0 clock
	server := runWithAlice(t, mailutest.Config{Now: time0.now})

	do(t, server, patch(fresh))
	do(t, server, request{token: "-"})

	want := []mailutest.Request{
		{Time: time0.now(), Method: "PATCH", Path: "/api/v1/user/" + alice, Status: 200, Authorised: true},
		{Time: time0.now(), Method: "GET", Path: "/api/v1/user/" + alice, Status: 401},
	}
	got := server.Requests()
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("requests %+v, want %+v", got, want)
	}
	if server.Count("GET") != 1 || server.Count("") != 2 {
		t.Errorf("counts %d, %d", server.Count("GET"), server.Count(""))
	}
}

func TestARequestWithoutAnAnswerHasNoStatus(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})
	server.Inject(mailutest.Fault{Kind: mailutest.ResetAfter})

	_, _ = try(t.Context(), server, patch(fresh))

	if got := server.Requests(); got[0].Status != 0 || !got[0].Authorised {
		t.Errorf("request %+v", got[0])
	}
}

func TestMaxInFlightCountsWaitingRequests(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{Workers: 1, HashDelay: time.Hour})
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() { _, _ = try(t.Context(), server, patch(fresh)) })
	}

	waitFor(t, func() bool { return server.MaxInFlight() == 3 })

	server.Close()
	clients.Wait()
}

func TestOneWorkerHashesOneAtATime(t *testing.T) {
	const cost = 100 * time.Millisecond
	server := runWithAlice(t, mailutest.Config{Workers: 1, HashDelay: cost})
	start := time.Now()

	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() {
			if _, err := try(t.Context(), server, patch(fresh)); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()

	if took := time.Since(start); took < 3*cost {
		t.Errorf("three hashes took %v", took)
	}
	if server.PasswordSets(alice) != 3 {
		t.Errorf("set %d times", server.PasswordSets(alice))
	}
}

func TestStartRefusesACostThatBcryptHasNot(t *testing.T) {
	server, err := mailutest.Start(mailutest.Config{Rounds: 3})

	if err == nil {
		server.Close()
		t.Error("it starts")
	}
}

func TestCloseTwice(t *testing.T) {
	server := mailutest.Run(t, mailutest.Config{})

	server.Close()
	server.Close()
}

// trusting is a transport that trusts the server's CA, if it has one.
func trusting(t *testing.T, server *mailutest.Server) *http.Transport {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(server.CAPEM())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the condition never came true")
		}
	}
}

func TestAllHostnamesLeadToOneAdmin(t *testing.T) {
	for _, config := range []mailutest.Config{{}, {TLS: true}} {
		server := mailutest.Run(t, config)
		server.AddUser("alice@example.com", "old")
		origin, err := server.AddHostname()
		if err != nil || origin == server.Origin() {
			t.Fatalf("%q, %v", origin, err)
		}

		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(server.CAPEM())
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
		defer client.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, origin+"/api/v1/user/ALICE@example.com", strings.NewReader(`{"raw_password":"new"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+server.Token())
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()

		if resp.StatusCode != http.StatusOK || !server.Accepts("alice@example.com", "new") {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
}
