package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/test/faultproxy"
)

// damage makes Vault return no record for two tenants: the storage of one is damaged,
// and the other exceeds the size limit of a read.
func (s *site) damage(t *testing.T, damaged, grown *tenant) {
	t.Helper()
	l := s.layout()
	s.interpose(t).Inject(faultproxy.Fault{
		Match: faultproxy.On(http.MethodGet, "/v1/"+l.Mount+"/data/"+l.Path(damaged.id)),
		Kind:  faultproxy.Status, Status: 500, Body: `{"errors":["1 error occurred:\n\t* could not find version data\n\n"]}`,
	})
	notes := map[string]any{}
	for i := range 9 {
		notes[strings.Repeat("note", i+1)] = strings.Repeat("x", 1<<20)
	}
	_, err := s.root.KVv2(l.Mount).Patch(t.Context(), l.Path(grown.id), notes, api.WithMergeMethod("rw"))
	must(t, err)
}

func TestRecordsThatVaultCannotGiveAreRowsOfTheirOwn(t *testing.T) {
	s := newTestSite(t)
	acme, beta := s.mustSeed(t, "acme", "age=400"), s.mustSeed(t, "beta", "age=300")
	damaged, grown := s.mustSeed(t, "damaged", "age=900"), s.mustSeed(t, "grown", "age=800")
	s.damage(t, damaged, grown)
	must(t, s.writeConfig())

	run := s.start(t, "--run-now")
	run.mustEnd(t, exitFailures)

	out := run.stdout.String()
	for _, part := range []string{"could not find version data", "no record of more than 8 MiB is read", "4 tenants: 2 rotated, 2 failed"} {
		if !strings.Contains(out, part) {
			t.Errorf("the report does not say %q:\n%s", part, out)
		}
	}
	must(t, s.rotated(t.Context(), acme))
	must(t, s.rotated(t.Context(), beta))

	for _, command := range []string{"status --check", "verify", "doctor", "reseal"} {
		other := s.start(t, strings.Fields(command)...)
		other.mustEnd(t, exitFailures)
		for _, id := range []string{damaged.id, grown.id} {
			if !strings.Contains(other.stdout.String(), id) {
				t.Errorf("%s does not name %s:\n%s", command, id, &other.stdout)
			}
		}
	}
}

func TestAnAdditionBesideAnUnreadableRecordNamesTheWayOut(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "acme", "age=1")
	damaged, grown := s.mustSeed(t, "damaged", "age=1"), s.mustSeed(t, "grown", "age=1")
	s.damage(t, damaged, grown)
	must(t, s.writeConfig())
	add := []string{"tenant", "add", "--dry-run", "--user", "new@acme.example", "--webmail-url", s.mailus[0].Origin()}

	refused := s.start(t, add...)
	refused.mustEnd(t, exitCannotRun)
	for _, part := range []string{damaged.id, grown.id, "--unreadable TENANT", "vault kv metadata delete"} {
		if !strings.Contains(refused.stderr.String(), part) {
			t.Errorf("the error does not say %q:\n%s", part, &refused.stderr)
		}
	}

	s.start(t, append(add, "--unreadable", damaged.id)...).mustEnd(t, exitCannotRun)
	s.start(t, append(add, "--unreadable", damaged.id, "--unreadable", grown.id)...).mustEnd(t, exitDone)
}
