package status

import (
	"slices"
	"time"

	"mailu-rotator/rotator"
)

// Cluster is what a daemon last saw of the cluster that it belongs to. The zero value is
// for one that belongs to none, or has not looked yet.
type Cluster struct {
	Seen    time.Time // when it last looked
	Failed  Trouble   // it could not look: the workers and queues are those seen before
	Workers []WorkerEntry
	Queues  []QueueEntry // of each server that the configuration lists, then that of all others
}

// WorkerEntry is a worker on any host.
type WorkerEntry struct {
	Name    string
	Version string
	Since   time.Time
	Batches int // under way
	Servers int // that it lists
}

// QueueEntry is the work for one server.
type QueueEntry struct {
	Origin  rotator.Origin // empty: all servers that this daemon's configuration does not list
	Workers int            // that list the server; 0 for the others
	Batches int            // that are not done
	Oldest  time.Time      // when the first of them was published; zero: none
}

// SawCluster records what the daemon sees of its cluster; the zero value: it belongs to
// none.
func (c *Cache) SawCluster(seen Cluster) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Cluster = seen
}

// ClusterFailed records that the daemon cannot look at its cluster, until it can.
func (c *Cache) ClusterFailed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	failed := &c.state.Cluster.Failed
	if failed.Reason == "" {
		failed.Since = c.clock.Now()
	}
	failed.Reason = reason(err)
}

// Known reports whether there is a cluster.
func (c Cluster) Known() bool { return !c.Seen.IsZero() || c.Failed.Reason != "" }

// Unserved returns the servers that no worker lists.
func (c Cluster) Unserved() (all []rotator.Origin) {
	for _, q := range c.Queues {
		if q.Origin != "" && q.Workers == 0 {
			all = append(all, q.Origin)
		}
	}
	return all
}

// Releases returns the releases of the workers, each once.
func (c Cluster) Releases() (all []string) {
	for _, w := range c.Workers {
		all = append(all, w.Version)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
