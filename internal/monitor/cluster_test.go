package monitor

import (
	"testing"
	"time"

	"mailu-rotator/rotator/status"
)

func ofTwoServers() status.Cluster {
	return status.Cluster{Seen: noon, Queues: []status.QueueEntry{
		{Origin: serverA, Workers: 2, Batches: 3, Oldest: noon.Add(-time.Hour)}, {Origin: serverB}, {Batches: 7, Oldest: noon.Add(-time.Minute)},
	}}
}

func TestClusterIsCountedForEachServer(t *testing.T) {
	w := watch(t)
	w.cache.SawCluster(ofTwoServers())

	w.want(t, map[string]float64{
		`cluster_connected`: 1,
		`cluster_workers{origin="` + string(serverA) + `"}`: 2, `cluster_workers{origin="` + string(serverB) + `"}`: 0,
		`cluster_queue_batches{origin="` + string(serverA) + `"}`: 3, `cluster_queue_batches{origin="` + string(serverB) + `"}`: 0,
		`cluster_queue_batches{origin="other"}`:                                    7,
		`cluster_queue_oldest_timestamp_seconds{origin="` + string(serverA) + `"}`: seconds(noon.Add(-time.Hour)),
		`cluster_queue_oldest_timestamp_seconds{origin="` + string(serverB) + `"}`: 0,
		`cluster_queue_oldest_timestamp_seconds{origin="other"}`:                   seconds(noon.Add(-time.Minute)),
	})
	w.wantNone(t, `cluster_workers{origin="other"}`)
}

// An old number of workers would resolve an alert.
func TestUnreachableClusterHasNoNumbers(t *testing.T) {
	w := watch(t)
	w.cache.SawCluster(ofTwoServers())
	w.cache.ClusterFailed(errFault)

	w.want(t, map[string]float64{`cluster_connected`: 0})
	w.wantNone(t, `cluster_workers{origin="`+string(serverA)+`"}`, `cluster_queue_batches{origin="other"}`)

	w.cache.SawCluster(ofTwoServers())
	w.want(t, map[string]float64{`cluster_connected`: 1, `cluster_workers{origin="` + string(serverA) + `"}`: 2})
}

func TestWithoutAClusterThereIsNothingOfIt(t *testing.T) {
	w := watch(t)

	w.wantNone(t, `cluster_connected`, `cluster_queue_batches{origin="other"}`)
}

// A last success of 0 means that no sweep takes place.
func TestWorkerHasNoSeriesOfRuns(t *testing.T) {
	w := watch(t)
	w.want(t, map[string]float64{`last_success_timestamp_seconds{task="sweep"}`: 0})
	only := scope(t)
	only.OnlyWorker = true

	w.Metrics = NewMetrics(w.clock, w.cache, "test", nil, only)

	w.wantNone(t, `last_success_timestamp_seconds{task="sweep"}`, `runs_total{result="ok",task="sweep"}`)
}
