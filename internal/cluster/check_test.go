package cluster_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mailu-rotator/internal/cluster"
	"mailu-rotator/internal/cluster/natstest"
	"mailu-rotator/rotator"
)

// check returns the checks as text, one line each.
func (f *fleet) check(name string, origins ...rotator.Origin) (lines []string, i *cluster.Inspection) {
	f.t.Helper()
	config := f.named(name)
	config.Report = func(error) {} // what is refused is tried on purpose
	checks, i := cluster.Check(f.t.Context(), config, origins)
	return linesOf(checks), i
}

func linesOf(checks []rotator.Check) (lines []string) {
	for _, c := range checks {
		lines = append(lines, strings.TrimSuffix(fmt.Sprintf("%s %s: %s → %s", c.State, c.Name, c.Found, c.Fix), " → "))
	}
	return lines
}

// wantLines fails the test unless each line contains what is wanted in its place.
func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.EqualFunc(got, want, strings.Contains) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCheckOfAnEmptyNATS(t *testing.T) {
	f := newFleet(t)

	lines, i := f.check("doctor", serverA)

	wantLines(t, lines,
		"ok reachable: NATS 2.", "ok permissions: to plan and to work", "ok JetStream: on",
		"ok streams: MR_WORK, MR_RESULTS, MR_RUNS, MR_WORKERS: the first daemon or run makes them", "ok queue: empty", "ok planning: no run is being planned")
	if !strings.HasSuffix(lines[0], " at "+f.nats.URL+", without TLS") {
		t.Error(lines[0])
	}
	if i == nil {
		t.Fatal("no inspection")
	}
	if again, _ := f.check("doctor", serverA); again[3] != lines[3] {
		t.Errorf("the first check made something: %s", again[3])
	}
}

func TestCheckOfARunningFleet(t *testing.T) {
	f := newFleet(t)
	f.worker("one", serverA)
	planner := f.open("host-1/7/abcd")
	if _, err := planner.Claim(t.Context(), "due-1"); err != nil {
		t.Fatal(err)
	}

	lines, i := f.check("doctor", serverA)

	wantLines(t, lines[3:], "ok streams: as this release makes them", "ok queue: empty", "ok planning: due-1 by host-1/7/abcd")
	wantLines(t, linesOf(i.CheckWorkers("test", map[rotator.Origin]int{serverA: 2})), "ok workers: 1, all of release test", "ok https://mail-a.example: one")
}

func TestCheckWithoutNATS(t *testing.T) {
	f := newFleet(t)
	f.nats.Stop()

	lines, i := f.check("doctor")

	wantLines(t, lines, "failed reachable: connect to NATS at nats://127.0.0.1:", "skipped permissions", "skipped JetStream", "skipped streams", "skipped queue", "skipped planning")
	if !strings.Contains(lines[0], "→ on NATS' host: systemctl status nats-server; a run without NATS: mailu-rotator --run-now --local") || strings.Contains(lines[0], cluster.ErrUnreachable.Error()) {
		t.Error(lines[0])
	}
	if i != nil {
		t.Error("an inspection of nothing")
	}
}

func TestCheckWithoutJetStream(t *testing.T) {
	f := fleetAt(t, natstest.Run(t, natstest.Options{Config: "no_auth_user: nobody\naccounts { plain { users: [{user: nobody, password: none}] } }"}))

	lines, i := f.check("doctor")

	wantLines(t, lines, "ok reachable", "ok permissions", "failed JetStream: off, or not enabled for this account → add to nats-server.conf: jetstream {", "skipped streams", "skipped queue", "skipped planning")
	if i != nil {
		t.Error("an inspection of nothing")
	}
}

func TestCheckNamesWhatNATSRefuses(t *testing.T) {
	f, as := permitted(t)
	as(cluster.Planner)
	f.open("planner")

	asPlanner, _ := f.check("doctor")
	as(cluster.Works)
	asWorker, i := f.check("doctor")

	wantLines(t, asPlanner[1:3], "warning permissions: enough to plan; as a worker it may not publish to $JS.API.CONSUMER.CREATE.MR_WORK.>, $JS.API.CONSUMER.MSG.NEXT.MR_WORK.*, $JS.ACK.MR_WORK.>, $KV.MR_WORKERS.*, $KV.MR_RUNS.*.stop.* → if this host runs more than mailu-rotator --run-now: permit", "ok JetStream")
	wantLines(t, asWorker[1:3], "warning permissions: enough for a worker; to plan it may not publish to $JS.API.CONSUMER.CREATE.MR_RESULTS.>, ", "skipped JetStream: not checked: NATS permits only planners to look")
	if i != nil {
		t.Error("an inspection by a worker")
	}
}

func TestCheckWithoutPermissions(t *testing.T) {
	for want, c := range map[string]struct{ publish, subscribe []string }{
		"may not publish to $JS.API.INFO, ": {publish: []string{"nothing"}},
		"may not subscribe to _INBOX.>":     {subscribe: []string{"nothing"}},
	} {
		t.Run(want, func(t *testing.T) {
			seed := filepath.Join(t.TempDir(), "seed")
			public, err := natstest.NewNkey(seed)
			if err != nil {
				t.Fatal(err)
			}
			f := fleetAt(t, natstest.Run(t, natstest.Options{Users: []natstest.User{{Nkey: public, Publish: c.publish, Subscribe: c.subscribe}}}))
			f.config.Seed = seedOf(seed)

			lines, _ := f.check("doctor")

			wantLines(t, lines[1:2], "failed permissions: "+want)
		})
	}
}

func TestCheckOfAForeignNkey(t *testing.T) {
	f, _ := permitted(t)
	seed := filepath.Join(t.TempDir(), "seed")
	if _, err := natstest.NewNkey(seed); err != nil {
		t.Fatal(err)
	}
	f.config.Seed = seedOf(seed)

	lines, _ := f.check("doctor")

	wantLines(t, lines[:1], "→ list the public key of cluster.nkey_file in the users of nats-server.conf")
}

func TestCheckOfAnUnknownAuthority(t *testing.T) {
	f := fleetAt(t, natstest.Run(t, natstest.Options{TLS: true}))

	lines, _ := f.check("doctor")

	wantLines(t, lines[:1], "→ set cluster.ca_file to the authority of NATS' certificate")
}

func TestWorkersOfEachServer(t *testing.T) {
	f := newFleet(t)
	f.worker("one", serverA)
	f.config.Version = "1.0.0"
	f.worker("two", serverA)
	i := f.inspect()

	wantLines(t, linesOf(i.CheckWorkers("1.0.0", map[rotator.Origin]int{serverA: 5, serverB: 7, "https://mail-c.example": 0})),
		"warning workers: one has test, this is 1.0.0 → give all hosts one release",
		"ok https://mail-a.example: one, two",
		"failed https://mail-b.example: no worker lists it; tenants: 7 → on a host whose mailu.servers lists it: systemctl start mailu-rotator-worker",
		"warning https://mail-c.example: no worker lists it →")
	wantLines(t, linesOf((&cluster.Inspection{}).CheckWorkers("1.0.0", nil)), "failed workers: none → on a host")
}

func TestFindingsSayHowLong(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	i := &cluster.Inspection{
		Differences: []cluster.Difference{{"A", "x is 1, not 2", "fix A"}, {"A", "y is 1, not 2", "fix A"}, {"B", "x is 1, not 2", "fix B"}},
		Queues:      []cluster.Queue{{Server: "1", Batches: 3}, {Server: "2", Batches: 4, Oldest: now.Add(-time.Minute)}, {Server: "3", Batches: 1, Oldest: now.Add(-time.Hour)}},
		Planned:     []cluster.Planning{{"due-1", "host-1", now.Add(-29 * time.Second)}, {"due-2", "host-2", now.Add(-time.Minute)}},
	}

	wantLines(t, linesOf(i.Checks(now)),
		"warning streams: A: x is 1, not 2; A: y is 1, not 2; B: x is 1, not 2 → fix A && fix B",
		"ok queue: batches: 8, servers: 3, the first one since 1h0m0s",
		"ok planning: due-1 by host-1; due-2 by host-2, which was last seen 1m0s ago: the next daemon plans it")
}

func TestCheckNamesAReplicaThatIsOffline(t *testing.T) {
	t.Parallel()
	three := natstest.RunCluster(t, natstest.Options{})
	f := fleetOn(t, three.Servers[0])
	f.config.Servers, f.config.Replicas = strings.Split(three.URL(), ","), 3
	f.open("observer")
	caughtUp := func() bool {
		lines, _ := f.check("doctor")
		return slices.Contains(lines, "ok streams: as this release makes them")
	}
	f.eventually("all replicas are current", caughtUp)
	dead := three.Servers[2]

	dead.Kill()

	f.eventually("doctor names it", func() bool {
		lines, i := f.check("doctor")
		return i != nil && slices.ContainsFunc(lines, func(line string) bool {
			return line == "warning streams: NATS server "+dead.Name+", a replica of MR_WORK, MR_RESULTS, KV_MR_RUNS, KV_MR_WORKERS, is offline → on its host: systemctl status nats-server"
		})
	})
	f.must(dead.Restart(t.Context()))
	f.eventually("it has caught up", caughtUp)
}
