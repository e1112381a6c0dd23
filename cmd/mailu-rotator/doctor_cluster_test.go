package main

import (
	"regexp"
	"strings"
	"testing"
)

// mustDiagnose runs doctor and returns what it printed after the section of Mailu, with
// two blanks between columns.
func (s *site) mustDiagnose(t *testing.T, status int) string {
	t.Helper()
	p := s.start(t, "doctor")
	p.mustEnd(t, status)
	_, rest, found := strings.Cut(p.stdout.String(), "\nCluster\n")
	if !found {
		t.Fatalf("no section Cluster:\n%s", p.stdout.String())
	}
	return regexp.MustCompile(`\b {2,}`).ReplaceAllString(rest, "  ")
}

func mustContain(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
}

func TestDoctorShowsTheWorkersOfEachServer(t *testing.T) {
	s, _ := newClusterSite(t, 2, never)
	s.startWorker(t)

	found := s.mustDiagnose(t, exitDone)

	mustContain(t, found, "✓ reachable  ", "✓ permissions  to plan and to work\n", "✓ JetStream  on\n", "✓ streams  as this release makes them\n",
		"✓ queue  empty\n", "✓ planning  no run is being planned\n", "\nWorkers\n", "✓ workers  1, all of release ", "✓ well-formed  2 of 2\n")
	for _, who := range s.tenants {
		mustContain(t, found, "✓ "+who.mailu.Origin()+"  ")
	}
}

func TestDoctorNamesServersWithoutWorkers(t *testing.T) {
	s, _ := newClusterSite(t, 2, never)

	found := s.mustDiagnose(t, exitFailures)

	mustContain(t, found, "✗ workers  none\n", "✓ streams  MR_WORK, MR_RESULTS, MR_RUNS, MR_WORKERS: the first daemon or run makes them\n", "✗ well-formed  0 of 2\n")
	for _, who := range s.tenants {
		mustContain(t, found, "✗ "+who.mailu.Origin()+"  no worker lists it; tenants: 1\n      → on a host whose mailu.servers lists it: systemctl start mailu-rotator-worker\n",
			who.id+" "+who.user+"  no worker lists this server")
	}
}

func TestDoctorWithoutNATS(t *testing.T) {
	s, nats := newClusterSite(t, 2, never)
	nats.Stop()

	found := s.mustDiagnose(t, exitCannotRun)

	mustContain(t, found, "✗ reachable  connect to NATS at ", "– queue  not checked: NATS is not reachable\n", "✓ well-formed  2 of 2\n", "a run could not take place\n")
	if strings.Contains(found, "\nWorkers\n") {
		t.Errorf("workers that nobody has looked for:\n%s", found)
	}
}
