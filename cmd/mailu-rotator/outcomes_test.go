package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"mailu-rotator/internal/config"
)

// A failure that left no trace is in no record: only the daemon that had it knows.
func TestStatusTellsWhatTheDaemonRemembers(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "gone", "age=400", "absent=user")
	must(t, s.secretFile("listen-token", "shown-by-callers"))
	must(t, s.writeConfig(everySecond, noJitter, "listen.address=unix:"+s.dir+"/http.sock", "listen.token_file=listen-token"))

	daemon := s.start(t)
	daemon.mustLog(t, "sweep finished", 2)
	var shown string
	await(t, "the last outcome", func() error {
		status := s.start(t, "status")
		status.mustEnd(t, exitDone)
		if shown = status.stdout.String(); !strings.Contains(shown, "failed 20") {
			return errors.New("not told:\n" + shown)
		}
		return nil
	})
	daemon.stop(t)

	if !strings.Contains(shown, "unknown to this server") || strings.Contains(shown, "those of the records") {
		t.Errorf("it shows\n%s", shown)
	}
}

func TestStatusSaysWhereNoDaemonAnswers(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "acme", "age=3")
	must(t, s.writeConfig("listen.address=unix:"+s.dir+"/nobody.sock"))

	status := s.start(t, "status")
	status.mustEnd(t, exitDone)

	if shown := status.stdout.String(); !strings.Contains(shown, "last outcomes are those of the records: no daemon answers at unix:") {
		t.Errorf("it shows\n%s", shown)
	}
}

func TestStatusDoesNotBelieveAnotherTokensDaemon(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "acme", "age=3")
	must(t, s.secretFile("listen-token", "shown-by-callers"))
	must(t, s.writeConfig(never, noJitter, "listen.address=unix:"+s.dir+"/http.sock", "listen.token_file=listen-token"))
	daemon := s.start(t)
	daemon.mustLog(t, "listening", 1)
	must(t, os.WriteFile(s.dir+"/listen-token", []byte("another-token\n"), 0o600))

	status := s.start(t, "status")
	status.mustEnd(t, exitDone)
	daemon.stop(t)

	if shown := status.stdout.String(); !strings.Contains(shown, "answers status 401") {
		t.Errorf("it shows\n%s", shown)
	}
}

func TestAddressesOfAllInterfacesAreAskedOverLoopback(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:9180": "127.0.0.1:9180", "[::1]:9180": "[::1]:9180", "ops1.example:9180": "ops1.example:9180",
		"0.0.0.0:9180": "localhost:9180", "[::]:9180": "localhost:9180", ":9180": "localhost:9180",
	} {
		network, endpoint := config.Listen{Address: address}.Endpoint()
		if got := reachable(network, endpoint); got != want {
			t.Errorf("%s is asked at %s, want %s", address, got, want)
		}
	}
}

func TestDaemonsAnswerIsReadWithCare(t *testing.T) {
	for name, answer := range map[string]string{
		"a page": "<html>", "nothing": "", "another document": `{"tenants":"many"}`,
	} {
		if _, _, err := readOutcomes(strings.NewReader(answer)); err == nil {
			t.Errorf("%s is taken for outcomes", name)
		}
	}
}

// Another program has taken the port while the daemon is down.
func TestStatusShowsAnImpostorNoTokenAndDoesNotBelieveIt(t *testing.T) {
	const token = "shown-by-callers"
	s := newTestSite(t)
	s.mustSeed(t, "acme", "age=3")
	headers := make(chan http.Header, 1)
	impostor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header.Clone()
		_, _ = w.Write([]byte(`{"tenants":[]}`))
	}))
	t.Cleanup(impostor.Close)
	must(t, s.secretFile("listen-token", token))
	must(t, s.writeConfig("listen.address="+impostor.Listener.Addr().String(), "listen.token_file=listen-token"))

	status := s.start(t, "status")
	status.mustEnd(t, exitDone)

	if shown := status.stdout.String(); !strings.Contains(shown, "answers without knowing the token of listen.token_file") {
		t.Errorf("it shows\n%s", shown)
	}
	for name, values := range <-headers {
		text := strings.Join(values, " ")
		if _, credentials, _ := strings.Cut(text, " "); strings.Contains(text, token) || name == "Authorization" && !strings.HasPrefix(text, "HMAC-SHA256 ") {
			t.Errorf("the impostor got %s: %s", name, credentials)
		}
	}
}
