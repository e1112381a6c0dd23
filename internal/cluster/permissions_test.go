package cluster_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mailu-rotator/internal/cluster"
	"mailu-rotator/internal/cluster/natstest"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
)

// fleetAt also lets the test run beside others.
func fleetAt(t *testing.T, nats *natstest.Server) *fleet {
	t.Helper()
	t.Parallel()
	f := fleetOn(t, nats)
	f.config.Servers = []string{nats.URL}
	return f
}

// permitted is a fleet whose NATS permits each part only what it needs. Processes that
// start after as log in as that part.
func permitted(t *testing.T) (f *fleet, as func(cluster.Part)) {
	t.Helper()
	dir := t.TempDir()
	var users []natstest.User
	for _, part := range []cluster.Part{cluster.Planner, cluster.Works} {
		public, err := natstest.NewNkey(filepath.Join(dir, string(part)))
		if err != nil {
			t.Fatal(err)
		}
		publish, subscribe := (&cluster.Cluster{Config: cluster.Config{Prefix: "MR"}}).Subjects(part)
		users = append(users, natstest.User{Nkey: public, Publish: publish, Subscribe: subscribe})
	}
	f = fleetAt(t, natstest.Run(t, natstest.Options{Users: users}))
	return f, func(part cluster.Part) { f.config.Seed = seedOf(filepath.Join(dir, string(part))) }
}

func TestLeastPermissionsAreEnough(t *testing.T) {
	for name, during := range map[string]func(f *fleet, interrupt func()){
		"whole run": func(*fleet, func()) {},
		"wrong token": func(f *fleet, _ func()) {
			f.during(func(c rotatortest.Call) rotatortest.Fault {
				if c.User != "" {
					return rotatortest.Fault{Before: rotator.ErrServerUnusable}
				}
				return rotatortest.Fault{}
			})
		},
		"interrupted run": func(f *fleet, interrupt func()) { f.once(userOf(3), func(*host) { interrupt() }) },
		"emptied NATS": func(f *fleet, _ func()) {
			f.once(userOf(3), func(*host) { f.must(f.nats.Empty(context.WithoutCancel(f.t.Context()))) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, as := permitted(t)
			f.add(serverA, 0, 12)
			f.add(serverB, 20, 12)
			as(cluster.Works)
			f.worker("one", serverA, serverB)
			f.worker("two", serverA)
			as(cluster.Planner)
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			during(f, interrupt)

			report := f.run(ctx, "all-1")
			_, _ = f.attach("all-1") // an error says that the run was withdrawn
			_, err := f.open("doctor").Inspect(t.Context(), []rotator.Origin{serverA, serverB})

			if err != nil || len(report.Rows) != 24 {
				t.Errorf("%d rows, %v", len(report.Rows), err)
			}
			if f.reports("permissions violation") > 0 {
				t.Errorf("refused: %q", f.reported)
			}
		})
	}
}

// example is the fleet of the documentation: its accounts, with nkeys of the test.
func example(t *testing.T) (f *fleet, as func(user string)) {
	t.Helper()
	page, err := os.ReadFile("../../docs/cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)\naccounts \\{.*?\n\\}\n```").FindString(string(page))
	accounts, dir := strings.TrimSuffix(found, "```"), t.TempDir()
	for _, user := range []string{"DAEMON", "WORKER"} {
		public, err := natstest.NewNkey(filepath.Join(dir, user))
		if err != nil {
			t.Fatal(err)
		}
		accounts = strings.Replace(accounts, "U...OF-A-"+user, public, 1)
	}
	f = fleetAt(t, natstest.Run(t, natstest.Options{Config: accounts}))
	return f, func(user string) { f.config.Seed = seedOf(filepath.Join(dir, user)) }
}

func TestDocumentedPermissionsAreEnough(t *testing.T) {
	f, as := example(t)
	f.add(serverA, 0, 12)
	as("WORKER")
	f.worker("one", serverA)
	asWorker, _ := f.check("doctor")
	as("DAEMON")
	f.worker("two", serverA)
	asDaemon, _ := f.check("doctor", serverA)

	report := f.run(t.Context(), "all-1")

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 12})
	f.wantOncePushed(12)
	wantLines(t, asDaemon[1:2], "ok permissions: to plan and to work")
	wantLines(t, asWorker[1:2], "warning permissions: enough for a worker; to plan it may not publish to ")
	if strings.Contains(asWorker[1], "mr.results") || !strings.Contains(asWorker[1], "mr.work.*.*") {
		t.Error(asWorker[1])
	}
	if f.reports("permissions violation") > 0 {
		t.Errorf("refused: %q", f.reported)
	}
}

func TestDocumentedUsersAreTheOnlyOnes(t *testing.T) {
	f, _ := example(t)

	if c, err := cluster.Open(t.Context(), f.named("stranger")); err == nil {
		c.Close()
		t.Error("a process without an nkey may connect")
	}
}
