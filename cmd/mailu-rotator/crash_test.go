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

// The tests here kill `tenant add` while a tenant is half-added, and let the same
// command, or a daemon's run, continue.

const newTenant = "33333333-5eed-4000-8000-000000000001"

// mustAllowAdding gives the program a token that may create records.
func (s *site) mustAllowAdding(t *testing.T) {
	t.Helper()
	must(t, s.writeConfig(shortClaims, "server.timeout=3s"))
	policy := s.start(t, "policy", "--with-create")
	policy.mustEnd(t, exitDone)
	must(t, s.vault.WritePolicy(t.Context(), s.name+"-adding", policy.stdout.String()))
	must(t, s.issueToken(t.Context(), s.name+"-adding"))
}

// startAdding runs tenant add; the site knows the tenant as soon as its record exists.
func (s *site) startAdding(t *testing.T, user string) *program {
	t.Helper()
	return s.start(t, "tenant", "add", "--first", "--tenant", newTenant, "--user", user, "--webmail-url", s.mailus[0].Origin())
}

func (s *site) adopt(user string) *tenant {
	who := &tenant{name: "new", id: newTenant, user: user, mailu: s.mailus[0], first: "set by hand", version: 1}
	s.tenants[who.name] = who
	return who
}

func TestKilledWhileAddingATenant(t *testing.T) {
	for _, test := range []struct {
		name   string
		exists bool // the user exists in Mailu
		kind   mailutest.Kind
		told   bool // Mailu has the pending password
		then   string
	}{
		{"before the user was taken over, then the command again", true, mailutest.HangBefore, false, "add"},
		{"before the user was taken over, then a daemon's run", true, mailutest.HangBefore, false, "run"},
		{"after the user was taken over, then the command again", true, mailutest.HangAfter, true, "add"},
		{"after the user was taken over, then a daemon's run", true, mailutest.HangAfter, true, "run"},
		{"before the user was created, then the command again", false, mailutest.HangBefore, false, "add"},
		{"before the user was created, then a daemon's run", false, mailutest.HangBefore, false, "run"},
		{"after the user was created, then the command again", false, mailutest.HangAfter, true, "add"},
		{"after the user was created, then a daemon's run", false, mailutest.HangAfter, true, "run"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newTestSite(t)
			s.mustAllowAdding(t)
			one, user, method := s.mailus[0], "admin@new.example", http.MethodPost
			one.AddDomain("new.example")
			if test.exists {
				one.AddUser(user, "set by hand")
				method = http.MethodPatch
			}
			one.Inject(mailutest.Fault{Kind: test.kind, Method: method})

			adding := s.startAdding(t, user)
			await(t, "the push", func() error {
				if test.told && one.PasswordSets(user) == 0 {
					return errors.New("no effect yet")
				}
				return seen(one, method)
			})
			adding.kill(t)
			who := s.adopt(user)
			left, err := s.read(t.Context(), who, 0)
			must(t, err)
			if left.current != "" || left.pending == "" || one.Accepts(user, left.pending) != test.told {
				t.Fatalf("current %t, pending %t, accepted %t", left.current != "", left.pending != "", one.Accepts(user, left.pending))
			}

			one.ClearFaults()
			switch {
			case test.then == "add":
				s.startAdding(t, user).mustEnd(t, exitDone)
			case !test.exists && !test.told: // no user to push to: the daemon reports it, and the command continues
				s.start(t, "--run-now", "--due-only").mustEnd(t, exitFailures)
				s.startAdding(t, user).mustEnd(t, exitDone)
			default:
				s.start(t, "--run-now", "--due-only").mustEnd(t, exitDone)
			}
			s.mustHaveCommitted(t, who, left.pending)
		})
	}
}

func TestKilledWhileVaultIsToldOfANewTenant(t *testing.T) {
	for _, test := range []struct {
		name   string
		writes int // writes before one hangs
		told   bool
	}{
		{"the first write", 1, false},
		{"the admission", 2, false},
		{"the commit", 3, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newTestSite(t)
			s.mustAllowAdding(t)
			one, user := s.mailus[0], "admin@new.example"
			one.AddUser(user, "set by hand")
			proxy := s.interpose(t)
			must(t, s.writeConfig(shortClaims, "server.timeout=3s"))
			path := "/v1/" + s.layout().Mount + "/data/" + s.layout().Path(newTenant)
			writes := 0
			proxy.Inject(faultproxy.Fault{Kind: faultproxy.Hang, Match: func(r *http.Request) bool {
				if r.URL.Path != path || r.Method == http.MethodGet {
					return false
				}
				writes++
				return writes >= test.writes
			}})

			adding := s.startAdding(t, user)
			await(t, test.name, func() error {
				if n := proxy.Count(http.MethodPut, path); n < test.writes {
					return fmt.Errorf("%d writes so far", n)
				}
				return nil
			})
			adding.kill(t)
			if one.Accepts(user, "set by hand") == test.told {
				t.Fatalf("mailu was told: want %t", test.told)
			}

			proxy.Clear()
			s.startAdding(t, user).mustEnd(t, exitDone)
			must(t, s.rotated(t.Context(), s.adopt(user)))
			if one.PasswordSets(user) != 1 {
				t.Fatalf("the password was set %d times", one.PasswordSets(user))
			}
		})
	}
}
