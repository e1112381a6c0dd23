package main

import (
	"context"

	"mailu-rotator/internal/cluster"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// inCluster checks NATS, if the configuration has a cluster.
func (d *doctor) inCluster(ctx context.Context) (checks []rotator.Check) {
	if !d.app.clustered() {
		return nil
	}
	settings, err := d.app.clusterConfig()
	if err != nil {
		return []rotator.Check{rotator.Broken("connection", err.Error(), fixFile(err))}
	}
	settings.Report = func(error) {} // the checks tell
	checks, d.cluster = cluster.Check(ctx, settings, d.app.origins())
	return checks
}

// workers checks who works for the servers of the configuration and of the records.
func (d *doctor) workers(records *sweep.Examination) []rotator.Check {
	if d.cluster == nil {
		return nil
	}
	tenants := map[rotator.Origin]int{}
	for _, origin := range d.app.origins() {
		tenants[origin] = 0
	}
	if records != nil {
		for _, s := range records.Statuses {
			if s.Origin != "" {
				tenants[s.Origin]++
			}
		}
	}
	return d.cluster.CheckWorkers(version, tenants)
}

// lookedAt is an engine for a sweep that begins nothing: it knows which servers have a
// worker.
type lookedAt struct {
	sweep.Engine
	found *cluster.Inspection
}

// Serves implements [sweep.Engine].
func (l lookedAt) Serves(ctx context.Context, origin rotator.Origin) error {
	return l.found.Serves(ctx, origin)
}
