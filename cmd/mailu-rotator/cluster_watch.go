package main

import (
	"context"
	"time"

	"mailu-rotator/internal/cluster"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

// watchPause is the pause between a daemon's looks at its cluster.
const watchPause = 15 * time.Second

// watch keeps what the metrics and the page show of the cluster up to date, until ctx
// ends.
func (s *service) watch(ctx context.Context, a *app, c *cluster.Cluster) {
	a.awaitOwnWorker(ctx)
	for {
		seen, err := s.look(ctx, c, a.origins())
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.cache.ClusterFailed(err)
		default:
			s.cache.SawCluster(seen)
		}
		if (rotator.SystemClock{}).Sleep(ctx, watchPause) != nil {
			return
		}
	}
}

// look sees no more than the connection for a process that is only a worker, whose
// permissions may allow no more.
func (s *service) look(ctx context.Context, c *cluster.Cluster, origins []rotator.Origin) (status.Cluster, error) {
	now := time.Now()
	if s.onlyWorker {
		return status.Cluster{Seen: now}, c.Connected()
	}
	workers, queues, err := c.Load(ctx)
	return clusterSeen(now, workers, queues, origins), err
}

// clusterSeen names what the cluster has by hash, as far as the configuration does.
func clusterSeen(now time.Time, workers []cluster.Presence, queues []cluster.Queue, origins []rotator.Origin) status.Cluster {
	seen := status.Cluster{Seen: now}
	for _, w := range workers {
		seen.Workers = append(seen.Workers, status.WorkerEntry{
			Name: w.Worker, Version: w.Version, Since: w.Since, Batches: w.Batches, Servers: len(w.Servers),
		})
	}
	others := status.QueueEntry{}
	mine := map[string]bool{} // hashes
	for _, origin := range origins {
		entry := status.QueueEntry{Origin: origin}
		for _, w := range workers {
			if w.Lists(origin) {
				entry.Workers++
			}
		}
		for _, q := range queues {
			if q.Of(origin) {
				entry.Batches, entry.Oldest, mine[q.Server] = q.Batches, q.Oldest, true
			}
		}
		seen.Queues = append(seen.Queues, entry)
	}
	for _, q := range queues {
		if mine[q.Server] {
			continue
		}
		others.Batches += q.Batches
		if others.Oldest.IsZero() || !q.Oldest.IsZero() && q.Oldest.Before(others.Oldest) {
			others.Oldest = q.Oldest
		}
	}
	seen.Queues = append(seen.Queues, others)
	return seen
}
