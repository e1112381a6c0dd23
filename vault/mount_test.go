package vault_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/rotator"
)

func TestOpenRefusesWhatIsNoKVVersion2Mount(t *testing.T) {
	f := newFixture(t)
	for mount, kind := range map[string]*api.MountInput{
		"old":  {Type: "kv", Options: map[string]string{"version": "1"}},
		"deep": {Type: "kv", Options: map[string]string{"version": "2"}},
	} {
		must(t, f.root.Sys().MountWithContext(t.Context(), mount, kind))
	}
	for _, c := range []struct{ mount, says string }{
		{"missing", "there is no mount missing/, or the policy grants nothing in it"},
		{"old", "vault kv enable-versioning old"},
		{"transit", `is of type "transit", not kv`},
		{"deep/er", "lies inside the mount deep/"},
	} {
		t.Run(c.mount, func(t *testing.T) {
			g := *f
			g.config.Mount = c.mount

			_, err := g.tryOpen(t, f.rootAuth())

			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

func TestMountWithoutAccessIsForbidden(t *testing.T) {
	f := newFixture(t)
	auth := f.appRole(t, nil)
	must(t, f.server.WritePolicy(t.Context(), "rotator", `path "elsewhere/*" { capabilities = ["read"] }`))

	_, err := f.tryOpen(t, auth)

	if !errors.Is(err, rotator.ErrForbidden) || !strings.Contains(err.Error(), "or the policy grants nothing in it") {
		t.Errorf("got %v", err)
	}
	if n := f.proxy.Count("PUT", revokeOf); n != 1 {
		t.Errorf("%d revocations, want 1: the token is of no use", n)
	}
}
