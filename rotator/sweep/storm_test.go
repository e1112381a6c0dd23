package sweep_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/mailu"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// The client (mailu) tries a call three times, the queue tries a tenant three times, and
// nine consecutive failed attempts stop a server. The product is the most that a
// failing server is sent in one run.
const (
	triesOfACall     = 3
	callsOfAnAttempt = 3 // look or verify, push, verify
	attempts         = 3 // of a tenant
	attemptsToStop   = 9
	mostForATenant   = triesOfACall * callsOfAnAttempt * attempts
	mostForAServer   = triesOfACall * callsOfAnAttempt * attemptsToStop
)

// patience with a request that is answered: a loaded machine must not count as a slow
// server.
const patience = 30 * time.Second

// TestAServerInTroubleIsSentSoMuchAndNoMore: ten tenants meet it one after the other,
// as after a canary; docs/reliability.md gives these counts.
func TestAServerInTroubleIsSentSoMuchAndNoMore(t *testing.T) {
	everything := func(f mailutest.Fault) []mailutest.Fault { return []mailutest.Fault{f} }
	pushes := func(f mailutest.Fault) []mailutest.Fault {
		f.Method = http.MethodPatch
		return []mailutest.Fault{f}
	}
	tests := []struct {
		name       string
		faults     []mailutest.Fault
		asks, sets int // requests for the whole server
	}{
		{"503", everything(mailutest.Fault{Kind: mailutest.Status, Status: 503}), 27, 0},
		{"429 that does not say for how long", everything(mailutest.Fault{Kind: mailutest.Status, Status: 429}), 27, 0},
		{"429 for a minute", everything(mailutest.Fault{Kind: mailutest.Status, Status: 429, RetryAfter: "60"}), 9, 0},
		{"429 for an hour", everything(mailutest.Fault{Kind: mailutest.Status, Status: 429, RetryAfter: "3600"}), 1, 0},
		{"500", everything(mailutest.Fault{Kind: mailutest.Status, Status: 500}), 5, 0},
		{"resets", everything(mailutest.Fault{Kind: mailutest.ResetBefore}), 27, 0},
		{"silence", everything(mailutest.Fault{Kind: mailutest.HangBefore}), 27, 0},
		{"403", everything(mailutest.Fault{Kind: mailutest.Status, Status: 403}), 1, 0},
		{"a firewall", everything(mailutest.Fault{Kind: mailutest.HTMLPage, Status: 403}), 3, 0},
		{"a redirect", everything(mailutest.Fault{Kind: mailutest.Redirect, Status: 301}), 1, 0},
		{"a server without the API", everything(mailutest.Fault{Kind: mailutest.HTMLPage, Status: 404}), 1, 0},

		{"a firewall to pushes", pushes(mailutest.Fault{Kind: mailutest.HTMLPage, Status: 403}), 6, 3},
		{"a redirect of pushes", pushes(mailutest.Fault{Kind: mailutest.Redirect, Status: 307}), 1, 1},
		{"503 to pushes", pushes(mailutest.Fault{Kind: mailutest.Status, Status: 503}), 18, 27},
		{"429 to pushes, for a minute", pushes(mailutest.Fault{Kind: mailutest.Status, Status: 429, RetryAfter: "60"}), 9, 9},
		{"500 to pushes", pushes(mailutest.Fault{Kind: mailutest.Status, Status: 500}), 10, 5},
		{"resets of pushes", pushes(mailutest.Fault{Kind: mailutest.ResetBefore}), 18, 27},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			timeout := patience
			if test.faults[0].Kind == mailutest.HangBefore {
				timeout = 400 * time.Millisecond // nothing is answered, but each request must arrive
			}
			f, server := newStorm(t, timeout)
			server.Inject(test.faults...)

			report := f.run(t, sweep.Selection{})

			asks, sets := server.Count(http.MethodGet), server.Count(http.MethodPatch)
			if asks != test.asks || sets != test.sets {
				t.Errorf("%d questions and %d pushes, want %d and %d", asks, sets, test.asks, test.sets)
			}
			mustBeBounded(t, server)
			if report.Failures() != len(report.Rows) {
				t.Errorf("%d failures of %d", report.Failures(), len(report.Rows))
			}
		})
	}
}

// The worst case: each call fails twice before its last try is answered, and no push
// has an effect.
func TestTheWorstServerIsSentTheProductOfAllTriesAtMost(t *testing.T) {
	t.Parallel()
	f, server := newStorm(t, patience)
	server.Inject(mailutest.Fault{Kind: mailutest.Status, Status: 503, Method: http.MethodPatch})
	for ask := range mostForAServer {
		server.Inject(mailutest.Fault{Kind: mailutest.Status, Status: 503, Method: http.MethodGet, Skip: ask, Times: 2})
	}

	f.run(t, sweep.Selection{})

	mustBeBounded(t, server)
	t.Logf("%d requests, the bound is %d", server.Count(""), mostForAServer)
}

// A canary keeps a crowd away from a failing server; without one as many tenants as the
// queue is wide meet it first, once each.
func TestWithoutACanaryALaneMeetsTroubleOnceMore(t *testing.T) {
	t.Parallel()
	f, server := newStorm(t, patience)
	f.sweep.Canary = false
	server.Inject(mailutest.Fault{Kind: mailutest.Status, Status: 503})

	f.run(t, sweep.Selection{})

	// Five more than the single canary.
	if n, most := server.Count(""), 27+5*triesOfACall; n > most {
		t.Errorf("%d requests, want %d at most", n, most)
	}
}

// newStorm is ten tenants of a real server, with the real client and a clock that never
// waits between tries.
func newStorm(t *testing.T, timeout time.Duration) (*fleet, *mailutest.Server) {
	t.Helper()
	server := mailutest.Run(t, mailutest.Config{Rounds: 4})
	origin, err := rotator.ParseOrigin(server.Origin())
	must(t, err)
	servers, err := mailu.New([]mailu.ServerConfig{{
		Origin: origin, Token: crypto.SecretFromString(server.Token()), MaxConcurrent: 2, Timeout: timeout,
	}}, mailu.Options{RetryWait: time.Millisecond, MaxRetryWait: 2 * time.Millisecond})
	must(t, err)
	t.Cleanup(servers.Close)
	f := newFleet(t)
	for n := range 10 {
		f.add(origin, n)
		server.AddUser(userOf(n), "old password")
	}
	f.sweep.Mailu, f.sweep.Clock = servers, rotatortest.NewClock(f.began)
	f.store.Clock = f.sweep.Clock
	return f, server
}

func mustBeBounded(t *testing.T, server *mailutest.Server) {
	t.Helper()
	each := map[string]int{}
	for _, r := range server.Requests() {
		each[r.Path]++
	}
	for path, n := range each {
		if n > mostForATenant {
			t.Errorf("%d requests for %s, want %d at most", n, path[strings.LastIndex(path, "/")+1:], mostForATenant)
		}
	}
	if n := server.Count(""); n > mostForAServer {
		t.Errorf("%d requests, want %d at most", n, mostForAServer)
	}
}
