package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/test/faultproxy"
)

// The tests here kill the real program at the worst moments, and let another process
// finish its work. They check the result in Vault and in Mailu, never in a report.

// shortClaims lets the second process take over within seconds.
const shortClaims = "rotation.claim_ttl=4s"

func TestKilledBeforeThePushTookEffect(t *testing.T) {
	s := newTestSite(t)
	acme := s.mustSeed(t, "acme", "age=400")
	must(t, s.writeConfig(shortClaims, "server.timeout=3s"))
	acme.mailu.Inject(mailutest.Fault{Kind: mailutest.HangBefore, Method: http.MethodPatch})

	first := s.start(t, "--run-now")
	await(t, "the push", func() error { return seen(acme.mailu, http.MethodPatch) })
	first.kill(t)
	left := s.mustBeHalfFinished(t, acme)
	if !acme.mailu.Accepts(acme.user, left.current) {
		t.Fatal("mailu does not accept the old password, and nobody told it another one")
	}

	acme.mailu.ClearFaults()
	s.start(t, "--run-now", "--due-only").mustEnd(t, exitDone)
	s.mustHaveCommitted(t, acme, left.pending)
}

func TestKilledWhileTheAnswerToThePushHangs(t *testing.T) {
	s := newTestSite(t)
	acme := s.mustSeed(t, "acme", "age=400")
	must(t, s.writeConfig(shortClaims, "server.timeout=3s"))
	acme.mailu.Inject(mailutest.Fault{Kind: mailutest.HangAfter, Method: http.MethodPatch})

	first := s.start(t, "--run-now")
	await(t, "the push to take effect", func() error {
		if acme.mailu.PasswordSets(acme.user) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	first.kill(t)
	left := s.mustBeHalfFinished(t, acme)
	if !acme.mailu.Accepts(acme.user, left.pending) {
		t.Fatal("mailu does not accept the pending password, which it was told")
	}

	sets := acme.mailu.PasswordSets(acme.user)
	acme.mailu.ClearFaults()
	s.start(t, "--run-now", "--due-only").mustEnd(t, exitDone)
	s.mustHaveCommitted(t, acme, left.pending)
	if acme.mailu.PasswordSets(acme.user) != sets {
		t.Fatal("the password was pushed again, although mailu had it")
	}
}

func TestKilledWhileTheCommitHangs(t *testing.T) {
	s := newTestSite(t)
	acme := s.mustSeed(t, "acme", "age=400")
	proxy := s.interpose(t)
	must(t, s.writeConfig(shortClaims, "server.timeout=3s"))
	path := "/v1/" + s.layout().Mount + "/data/" + s.layout().Path(acme.id)
	writes := 0
	proxy.Inject(faultproxy.Fault{Kind: faultproxy.Hang, Match: func(r *http.Request) bool {
		if r.URL.Path != path || r.Method == http.MethodGet {
			return false
		}
		writes++
		return writes >= 2 // prepare, then commit
	}})

	first := s.start(t, "--run-now")
	await(t, "the commit", func() error {
		if n := proxy.Count(http.MethodPut, path); n < 2 {
			return fmt.Errorf("%d writes so far", n)
		}
		return nil
	})
	first.kill(t)
	left := s.mustBeHalfFinished(t, acme)
	if !acme.mailu.Accepts(acme.user, left.pending) {
		t.Fatal("mailu does not accept the pending password, which was proven before the commit")
	}

	proxy.Clear()
	s.start(t, "--run-now", "--due-only").mustEnd(t, exitDone)
	s.mustHaveCommitted(t, acme, left.pending)
}

// A repeated emergency run must create every password itself: it finishes the
// half-finished rotations of the first run and, since those passwords are older than
// its start, rotates once more.
func TestEmergencyRunReplacesWhatAKilledOneLeft(t *testing.T) {
	s := newTestSite(t)
	acme := s.mustSeed(t, "acme", "age=400")
	must(t, s.writeConfig(shortClaims, "server.timeout=3s"))
	acme.mailu.Inject(mailutest.Fault{Kind: mailutest.HangAfter, Method: http.MethodPatch})
	first := s.start(t, "--run-now")
	await(t, "the push", func() error { return seen(acme.mailu, http.MethodPatch) })
	first.kill(t)
	left := s.mustBeHalfFinished(t, acme)

	acme.mailu.ClearFaults()
	s.start(t, "--run-now").mustEnd(t, exitDone)
	h, err := s.settled(t.Context(), acme)
	must(t, err)
	if h.current == left.pending || h.current == left.current {
		t.Fatal("the password is older than the emergency run")
	}
}

func seen(m *mailuServer, method string) error {
	if m.Count(method) == 0 {
		return errors.New("not yet")
	}
	return nil
}

// interpose puts a proxy between the program and Vault.
func (s *site) interpose(t testing.TB) *faultproxy.Proxy {
	t.Helper()
	proxy, err := faultproxy.NewProxy(s.vault.Addr)
	must(t, err)
	t.Cleanup(proxy.Close)
	s.address = proxy.URL
	return proxy
}

func (s *site) mustBeHalfFinished(t *testing.T, who *tenant) held {
	t.Helper()
	h, err := s.read(t.Context(), who, 0)
	must(t, err)
	if h.pending == "" {
		t.Fatal("nothing is pending in vault")
	}
	must(t, s.reachable(t.Context(), who))
	return h
}

// mustHaveCommitted checks that exactly the pending password has become current.
func (s *site) mustHaveCommitted(t *testing.T, who *tenant, pending string) {
	t.Helper()
	h, err := s.settled(t.Context(), who)
	must(t, err)
	switch {
	case h.current != pending:
		t.Fatal("another password than the pending one was made")
	case who.mailu.Accepts(who.user, who.first):
		t.Fatal("mailu still accepts the old password")
	case strings.TrimSpace(h.lastRotated) == "":
		t.Fatal("last_rotated is missing")
	}
}
