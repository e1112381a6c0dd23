package vault_test

import (
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/vault/vaulttest"
)

// looked returns the checks of a cluster's nodes, one a line.
func looked(t *testing.T, c *clustered, first *vaulttest.Server) (checks, nodes string) {
	t.Helper()
	cfg := c.config(first, true)
	cfg.Patience = 2 * time.Second
	one, each := outside(t, cfg, c.auth).Check(t.Context())
	lines := func(all []rotator.Check) string {
		var text strings.Builder
		for _, check := range all {
			text.WriteString(string(check.State) + " " + check.Name + ": " + check.Found + " -> " + check.Fix + "\n")
		}
		return text.String()
	}
	return lines(one), lines(each)
}

func TestHealthNamesEveryNode(t *testing.T) {
	c := newClustered(t)
	leader, err := c.Leader(within(t, time.Minute))
	must(t, err)
	sealed, dead := c.Followers(leader)[0], c.Followers(leader)[1]
	want := func(text string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("got\n%s\nwant %q", text, part)
			}
		}
	}

	_, nodes := looked(t, c, sealed)

	want(nodes, "ok node "+leader.Addr+": active, Vault ", "ok node "+sealed.Addr+": standby, Vault ", "ok node "+dead.Addr+": standby, Vault ")

	must(t, sealed.RestartSealed(t.Context())) // a standby cannot be sealed

	checks, nodes := looked(t, c, sealed)

	want(checks, "ok reachable: Vault ", " at "+leader.Addr, "ok active node: ")
	want(nodes, "failed node "+sealed.Addr+": sealed, Vault ", "vault operator unseal", "ok node "+leader.Addr+": active")

	dead.Kill()
	eventually(t, func() bool {
		checks, nodes = looked(t, c, sealed)
		return strings.Contains(checks, "failed active node: a standby without a leader")
	})

	want(nodes, "failed node "+dead.Addr+": ", "connection refused", "ok node "+leader.Addr+": standby")
}

func eventually(t *testing.T, happened func() bool) {
	t.Helper()
	for late := time.Now().Add(time.Minute); !happened(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("did not happen within a minute")
		}
	}
}

// Tokens and passwords must not go to another Vault because of a wrong entry.
func TestHealthNamesANodeOfAnotherCluster(t *testing.T) {
	f, stranger := newFixture(t), vaulttest.Run(t, vaulttest.Options{})
	f.config.OtherAddresses = []string{stranger.Addr}

	_, nodes := outside(t, f.config, f.rootAuth()).Check(t.Context())

	if len(nodes) != 2 || nodes[0].State != rotator.CheckOK || nodes[1].State != rotator.CheckFailed ||
		!strings.Contains(nodes[1].Found, "another cluster") || !strings.Contains(nodes[1].Fix, "vault.other_addresses") {
		t.Errorf("got %+v", nodes)
	}
}
