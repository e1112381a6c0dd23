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
	"mailu-rotator/rotator/sweep"
)

// newCrowd is fifty tenants of a server that expects another token and allows eight
// concurrent requests.
func newCrowd(t *testing.T) (*fleet, *mailutest.Server) {
	t.Helper()
	f, server := newStorm(t, patience)
	origin, err := rotator.ParseOrigin(server.Origin())
	must(t, err)
	servers, err := mailu.New([]mailu.ServerConfig{{
		Origin: origin, Token: crypto.SecretFromString("another-token"), MaxConcurrent: 8, Timeout: patience,
	}}, mailu.Options{})
	must(t, err)
	t.Cleanup(servers.Close)
	for n := 10; n < 50; n++ {
		f.add(origin, n)
		server.AddUser(userOf(n), "old password")
	}
	for n := range 50 {
		f.setCurrent(t, n, "old password")
	}
	server.Inject(mailutest.Fault{Kind: mailutest.Delay, Delay: 20 * time.Millisecond})
	f.sweep.Mailu, f.sweep.Workers, f.sweep.Canary = servers, 50, false
	return f, server
}

func TestAWrongTokenIsSentOnceInARunOfAnyKind(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func(*fleet) int{
		"emergency": func(f *fleet) int {
			report, err := f.sweep.Run(t.Context(), sweep.Selection{All: true}, 0)
			must(t, err)
			return len(report.Rows)
		},
		"verification": func(f *fleet) int {
			result, err := f.sweep.Verify(t.Context(), sweep.Selection{}, false)
			must(t, err)
			return result.Count(rotator.StateUnreachable)
		},
		"repair": func(f *fleet) int {
			result, err := f.sweep.Verify(t.Context(), sweep.Selection{}, true)
			must(t, err)
			return result.Count(rotator.StateUnreachable)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, server := newCrowd(t)

			tenants := run(f)

			if server.Count("") != 1 || tenants != 50 {
				t.Errorf("%d wrong tokens for %d tenants, want 1 for 50", server.Count(""), tenants)
			}
		})
	}
}

func TestOneUserBehindAFirewallFailsAlone(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"", http.MethodPatch} {
		f, server := newStorm(t, patience)
		server.Inject(mailutest.Fault{Kind: mailutest.HTMLPage, Status: 403, Method: method, Email: userOf(0)})

		report := f.run(t, sweep.Selection{All: true})

		for _, row := range report.Rows {
			behind := row.User == userOf(0)
			if behind == (row.Outcome == rotator.Rotated) || behind != strings.Contains(row.Reason, "in front of Mailu") {
				t.Errorf("%s %s: %s (%s)", method, row.User, row.Outcome, row.Reason)
			}
		}
		if !server.Accepts(userOf(0), "old password") {
			t.Error("the user behind the firewall is locked out")
		}
	}
}
