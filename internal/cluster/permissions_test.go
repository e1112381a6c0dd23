package cluster_test

import (
	"context"
	"path/filepath"
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

// permitted is a fleet whose NATS permits each part no more than it needs. Processes that
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
