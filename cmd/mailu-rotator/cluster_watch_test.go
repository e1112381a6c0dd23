package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mailu-rotator/internal/cluster"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

func TestDaemonShowsItsCluster(t *testing.T) {
	s, nats := newClusterSite(t, 0, never, anyPort)
	one, two := s.mailus[0].Origin(), s.mailus[1].Origin()

	daemon := s.start(t)
	address := daemon.address(t, 1)

	s.awaitSeries(t, address, "cluster_connected 1",
		fmt.Sprintf("cluster_workers{origin=%q} 1", one), fmt.Sprintf("cluster_workers{origin=%q} 1", two),
		fmt.Sprintf("cluster_queue_batches{origin=%q} 0", one), `cluster_queue_batches{origin="other"} 0`)
	if _, page := s.fetch(t, address, "/", ""); !strings.Contains(page, `id="cluster"`) || !strings.Contains(untagged(page), "Nothing waits for a worker.") {
		t.Error("the page does not show the cluster")
	}
	nats.Stop()
	s.awaitSeries(t, address, "cluster_connected 0")
}

// Its user at NATS may not list the others.
func TestWorkerShowsWhetherItIsConnected(t *testing.T) {
	s, nats := newClusterSite(t, 0, never, anyPort)
	worker := s.startWorker(t)
	address := worker.address(t, 1)

	s.awaitSeries(t, address, "cluster_connected 1")
	_, body := s.fetch(t, address, "/metrics", "")
	for _, series := range []string{"cluster_workers", "cluster_queue", `last_success_timestamp_seconds{task="sweep"}`, "tenants"} {
		if strings.Contains(body, "\nmailu_rotator_"+series) {
			t.Errorf("a worker has %s", series)
		}
	}
	nats.Stop()
	s.awaitSeries(t, address, "cluster_connected 0")
}

// No daemon may list its servers.
func TestWorkerVerifiesTheServersThatItLists(t *testing.T) {
	s, _ := newClusterSite(t, 1, never, anyPort, verifyEverySecond)
	drifted := s.mustSeed(t, "drifted", "mailu=two", "age=1")
	drifted.mailu.AddUser(drifted.user, byHand(drifted))
	removed := s.mustSeed(t, "removed", "mailu=two", "age=1")
	removed.mailu.AddUser(removed.user, byHand(removed))

	worker := s.startWorker(t)
	address := worker.address(t, 1)

	s.awaitSeries(t, address, `findings{state="drift"} 2`, `findings{state="ok"} 1`)
	worker.mustLog(t, "tenant verified", 2)
	must(t, s.untouched(t.Context(), drifted))
	drifted.mailu.AddUser(drifted.user, drifted.first)
	layout := s.layout()
	must(t, s.root.KVv2(layout.Mount).DeleteMetadata(t.Context(), layout.Path(removed.id)))
	delete(s.tenants, "removed")
	s.awaitSeries(t, address, `findings{state="drift"} 0`, `findings{state="ok"} 2`)
	if _, body := s.fetch(t, address, "/metrics", ""); strings.Contains(body, "\nmailu_rotator_tenants") {
		t.Error("a worker says how tenants stand, of whose rotations it does not learn")
	}
	worker.stop(t)
}

func TestWorkerWithoutTenantsVerifiesNobody(t *testing.T) {
	s, nats := newClusterSite(t, 1, never) // on the first server
	s.mailus = s.mailus[1:]
	must(t, s.writeConfig(never, noJitter, verifyEverySecond, "cluster.engine=nats", fmt.Sprintf("cluster.servers=[%q]", nats.URL)))

	worker := s.startWorker(t)

	worker.mustLog(t, "verification finished", 2)
	worker.stop(t)
}

func TestQueuesOfServersElsewhereAreOne(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	queues := []cluster.Queue{
		{Server: "1", Batches: 2, Oldest: now.Add(-time.Minute)}, {Server: "2", Batches: 3}, {Server: "3", Batches: 4, Oldest: now.Add(-time.Hour)},
	}

	seen := clusterSeen(now, []cluster.Presence{{Worker: "w", Version: "v", Servers: []string{"1", "2"}, Batches: 1}}, queues, []rotator.Origin{"https://a.example"})

	want := []status.QueueEntry{{Origin: "https://a.example"}, {Batches: 9, Oldest: now.Add(-time.Hour)}}
	if len(seen.Queues) != 2 || seen.Queues[0] != want[0] || seen.Queues[1] != want[1] {
		t.Errorf("queues %+v", seen.Queues)
	}
	if w := seen.Workers; len(w) != 1 || w[0] != (status.WorkerEntry{Name: "w", Version: "v", Batches: 1, Servers: 2}) {
		t.Errorf("workers %+v", w)
	}
}
