package main

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/test/faultproxy"
)

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
