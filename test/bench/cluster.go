package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"mailu-rotator/internal/cluster/natstest"
)

// crews are the numbers of workers; the first is what the others are compared with.
var crews = []int{1, 2, 4, 8}

// wantedSpeed is how many times as fast a crew shall be as one worker.
var wantedSpeed = map[int]float64{2: 1.9, 4: 3.5, 8: 6}

// cluster measures emergency runs that a planner publishes and workers do, each a process
// with the same share of a core: real hosts add cores with each worker, this machine
// does not. Where no process can be confined the rows are left out.
func (b *bench) cluster(ctx context.Context) error {
	if err := confinable(); err != nil {
		b.progress("  left out, since workers cannot be confined to a share of a core: " + err.Error())
		return nil
	}
	nats, err := natstest.Start(ctx, natstest.Options{Dir: filepath.Join(b.dir, "nats")})
	if err != nil {
		return err
	}
	defer nats.Stop()
	mailu, origins, err := b.startMailus(ctx, mailuTask{Servers: b.size.Sites, Hashing: hashing, Users: b.size.Cluster})
	if err != nil {
		return err
	}
	defer mailu.kill()
	f := &fleet{prefix: "cluster", tenants: b.size.Cluster, age: old, mailus: origins, nats: nats.URL}
	if err := b.prepare(ctx, f); err != nil {
		return err
	}
	var runs []measure
	for _, crew := range crews {
		runs = append(runs, func(ctx context.Context) (float64, error) {
			took, err := b.byWorkers(ctx, f, crew)
			return took.perSecond(f.tenants), err
		})
	}
	taken, err := b.interleave(ctx, runs...)
	if err != nil {
		return err
	}
	for i, crew := range crews[1:] {
		b.add(row{
			Key:     fmt.Sprintf("cluster-%d", crew),
			What:    fmt.Sprintf("emergency run by %d workers, %s tenants on %d servers", crew, count(f.tenants), len(origins)),
			Against: "the same by 1 worker; each has an eighth of a core", Unit: "/s", Target: wantedSpeed[crew], Tolerance: 0.15, Tenants: f.tenants, Servers: len(origins),
		}.compared(taken[i+1], taken[0], ratios(taken[i+1], taken[0])))
	}
	return b.clusterRequests(ctx, f)
}

// clusterRequests counts in Vault's audit log the requests of a run by two workers.
func (b *bench) clusterRequests(ctx context.Context, f *fleet) error {
	const crew = 2
	counted, err := b.audited(ctx, f.prefix, func(ctx context.Context) error {
		_, err := b.byWorkers(ctx, f, crew)
		return err
	})
	if err != nil {
		return err
	}
	each, want := float64(counted.records)/float64(f.tenants), 4.0
	b.add(row{
		Key: "requests-cluster", What: "Vault requests per tenant: rotation by workers", Against: "Vault's audit log", Unit: "requests",
		Measured: each, Baseline: want, Ratio: want / each, Target: 1, Tenants: f.tenants,
		Note: fmt.Sprintf("the planner reads each record too; %d for the list, and %s for each session of planner and workers",
			counted.lists, figure(float64(counted.others)/(crew+1))),
	})
	return nil
}

// byWorkers measures an emergency run by a number of workers, from the planner's first
// message to its last. Its status says that all is done, and its report how.
func (b *bench) byWorkers(ctx context.Context, f *fleet, crew int) (s swept, err error) {
	var workers []*process
	for i := range crew {
		group, err := confinement(i)
		if err != nil {
			return s, err
		}
		defer os.Remove(group) // after its worker has been killed
		w, err := b.worker(f, group)
		if err != nil {
			return s, err
		}
		defer w.kill()
		workers = append(workers, w)
	}
	for _, w := range workers {
		if _, _, err := w.await(ctx, 0, named("worker ready")); err != nil { // planners know of it
			return s, err
		}
	}
	line := onAllCores(b.program, "--run-now", "--output", "json", "--config", f.config)
	cmd := exec.Command(line[0], line[1:]...)
	var report bytes.Buffer
	cmd.Stdout = &report
	planner, err := start(cmd)
	if err != nil {
		return s, err
	}
	if s, err = planner.whole(ctx); err != nil {
		return s, err
	}
	var done struct{ Summary struct{ Rotated int } }
	if err := json.Unmarshal(report.Bytes(), &done); err != nil {
		return s, fmt.Errorf("the planner's report: %w", err)
	}
	if done.Summary.Rotated != f.tenants {
		return s, fmt.Errorf("%d of %d tenants were rotated; the planner said last:\n%s", done.Summary.Rotated, f.tenants, planner.log.tail())
	}
	// The planner has heard that the last batch of a server is done, NATS perhaps not: if
	// its worker were killed, it would hold up that server in the next run.
	for _, w := range workers {
		if err := errors.Join(w.cmd.Process.Signal(syscall.SIGTERM), w.wait(ctx)); err != nil {
			return s, err
		}
	}
	return s, nil
}

// worker starts a worker in a control group. It uses one core at a time, as on a host
// with one.
func (b *bench) worker(f *fleet, group string) (*process, error) {
	// The shell becomes the worker, which so begins in the group.
	line := onAllCores("sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, group, b.program, "worker", "--config", f.config)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	return start(cmd)
}
