package main

import (
	"strings"
	"testing"

	"mailu-rotator/vault/vaulttest"
)

// newClusteredSite is a site on a Vault of three nodes of its own.
func newClusteredSite(t *testing.T) (*site, *vaulttest.Cluster) {
	t.Helper()
	cluster := vaulttest.RunCluster(t, vaulttest.ClusterOptions{})
	leader, err := cluster.Leader(t.Context())
	must(t, err)
	root, err := cluster.Client()
	must(t, err)
	f := &fixture{dir: shared.dir, binary: shared.binary, vault: leader, root: root, seeded: shared.seeded}
	s := f.newSite(t.TempDir())
	must(t, s.provision(t.Context()))
	_, err = s.startMailu("one")
	must(t, err)
	t.Cleanup(s.closeMailus)
	return s, cluster
}

// The runbook of docs/operations.md, "Vault was restored from a backup".
func TestARestoredSnapshotIsNamedAndRepaired(t *testing.T) {
	t.Parallel()
	s, cluster := newClusteredSite(t)
	acme, beta, rest := s.mustSeed(t, "acme", "age=400"), s.mustSeed(t, "beta", "age=300"), s.mustSeed(t, "rest", "age=1")
	must(t, s.writeConfig("vault.ca_file="+cluster.CACert))
	snapshot, err := cluster.Snapshot(t.Context())
	must(t, err)
	s.start(t, "--run-now", "--due-only").mustEnd(t, exitDone)
	must(t, s.rotated(t.Context(), acme))

	must(t, cluster.Restore(t.Context(), snapshot))

	verify := s.start(t, "verify")
	verify.mustEnd(t, exitFailures)
	wantPrinted(t, verify, "1 ok, 2 drift", "2 tenants drift at once: was Vault, or a Mailu server, restored from a backup?")
	repair := s.start(t, "verify", "--repair")
	repair.mustEnd(t, exitDone)
	wantPrinted(t, repair, "3 ok, 2 repaired")
	for _, one := range []*tenant{acme, beta, rest} { // Vault's password, the one of the snapshot
		_, err := s.settled(t.Context(), one)
		must(t, err)
	}
	s.start(t, "--run-now").mustEnd(t, exitDone)
	for _, one := range []*tenant{acme, beta, rest} {
		must(t, s.rotated(t.Context(), one))
	}
}

func wantPrinted(t *testing.T, p *program, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if printed := p.stdout.String(); !strings.Contains(printed, part) {
			t.Errorf("it printed\n%s\nwithout %q", printed, part)
		}
	}
}
