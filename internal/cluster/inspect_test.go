package cluster_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mailu-rotator/internal/cluster"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
)

// named is the configuration of a process.
func (f *fleet) named(name string) cluster.Config {
	c := f.config
	c.Name = name
	return c
}

func (f *fleet) inspect(origins ...rotator.Origin) cluster.Inspection {
	f.t.Helper()
	c, err := cluster.Dial(f.t.Context(), f.named("observer"))
	if err != nil {
		f.t.Fatal(err)
	}
	defer c.Close()
	i, err := c.Inspect(f.t.Context(), origins)
	if err != nil {
		f.t.Fatal(err)
	}
	return i
}

func TestInspectionMakesNothing(t *testing.T) {
	f := newFleet(t)

	i := f.inspect(serverA)

	if want := []string{"MR_WORK", "MR_RESULTS", "MR_RUNS", "MR_WORKERS"}; !slices.Equal(i.Missing, want) {
		t.Errorf("missing %q, want %q", i.Missing, want)
	}
	names := f.jetStream().StreamNames(t.Context())
	for name := range names.Name() {
		t.Errorf("there is the stream %s", name)
	}
	if err := names.Err(); err != nil {
		t.Error(err)
	}
}

func TestInspectionFindsWhatThisReleaseMakes(t *testing.T) {
	f := newFleet(t)
	f.worker("one", serverA, serverB)
	f.consumer(serverB)

	i := f.inspect(serverA, serverB)

	if len(i.Missing) > 0 || len(i.Differences) > 0 || len(i.Queues) > 0 || len(i.Planned) > 0 {
		t.Errorf("got %+v", i)
	}
	if len(i.Workers) != 1 || i.Workers[0].Worker != "one" || i.Workers[0].Version != "test" {
		t.Errorf("workers %+v", i.Workers)
	}
}

// consumer waits until the worker of a server has made it, and returns its name.
func (f *fleet) consumer(server rotator.Origin) string {
	f.t.Helper()
	js, name := f.jetStream(), ""
	f.eventually("consumer of "+string(server), func() bool {
		work, err := js.Stream(f.t.Context(), "MR_WORK")
		if err != nil {
			return false
		}
		for info := range work.ListConsumers(f.t.Context()).Info() {
			if (cluster.Queue{Server: info.Name}).Of(server) {
				name = info.Name
			}
		}
		return name != ""
	})
	return name
}

func TestInspectionNamesEveryDifference(t *testing.T) {
	f := newFleet(t)
	js := f.jetStream()
	for _, stream := range []jetstream.StreamConfig{
		{Name: "MR_WORK", Subjects: []string{"mr.work.>"}, Retention: jetstream.LimitsPolicy, Storage: jetstream.MemoryStorage, MaxAge: time.Hour},
		{Name: "MR_RESULTS", Subjects: []string{"mr.results.*"}, Storage: jetstream.FileStorage, MaxAge: 168 * time.Hour},
	} {
		if _, err := js.CreateStream(t.Context(), stream); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "MR_WORKERS"}); err != nil {
		t.Fatal(err)
	}

	i := f.inspect()

	var texts []string
	for _, d := range i.Differences {
		texts = append(texts, d.Of+": "+d.Text+"; "+d.Fix)
	}
	want := []string{
		"MR_WORK: retention is Limits, not WorkQueue; nats stream rm -f MR_WORK",
		"MR_WORK: storage is Memory, not File; nats stream rm -f MR_WORK",
		"MR_WORK: max-age is 1h0m0s, not 48h0m0s; nats stream rm -f MR_WORK",
		"MR_WORK: subjects is [mr.work.>], not [mr.work.*.*]; nats stream rm -f MR_WORK",
		"KV_MR_WORKERS: max-age is 0s, not 1m0s; nats stream rm -f KV_MR_WORKERS",
		"KV_MR_WORKERS: allow-direct is true, not false; nats stream rm -f KV_MR_WORKERS",
	}
	if !slices.Equal(texts, want) {
		t.Errorf("got\n%s", strings.Join(texts, "\n"))
	}
	if !slices.Equal(i.Missing, []string{"MR_RUNS"}) {
		t.Errorf("missing %q", i.Missing)
	}
}

func TestInspectionComparesReplicas(t *testing.T) {
	f := newFleet(t)
	f.open("one")
	f.config.Replicas = 3

	i := f.inspect()

	if len(i.Differences) != 4 || i.Differences[0].Text != "replicas is 1, not 3" {
		t.Errorf("got %+v", i.Differences)
	}
}

func TestInspectionComparesConsumers(t *testing.T) {
	f := newFleet(t)
	f.worker("one", serverA)
	name := f.consumer(serverA)
	config := jetstream.ConsumerConfig{
		Durable: name, FilterSubject: "mr.work." + name + ".x", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Minute, MaxAckPending: 2, MaxDeliver: 3,
	}
	js := f.jetStream()
	if err := js.DeleteConsumer(t.Context(), "MR_WORK", name); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateConsumer(t.Context(), "MR_WORK", config); err != nil {
		t.Fatal(err)
	}

	i := f.inspect(serverA, serverB)

	var texts []string
	for _, d := range i.Differences {
		texts = append(texts, d.Of+": "+d.Text)
	}
	want := []string{
		"consumer of https://mail-a.example: ack-wait is 1m0s, not 2s", "consumer of https://mail-a.example: max-pending is 2, not 1",
		"consumer of https://mail-a.example: max-deliver is 3, not -1",
		"consumer of https://mail-a.example: filter is mr.work." + name + ".x, not mr.work." + name + ".*",
	}
	if !slices.Equal(texts, want) {
		t.Errorf("got\n%s", strings.Join(texts, "\n"))
	}
}

// A worker has the first of three batches, and is stuck.
func TestInspectionCountsWhatWaits(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 12)
	f.worker("one", serverA)
	stuck, inspected := make(chan struct{}, 100), make(chan struct{})
	resume := sync.OnceFunc(func() { close(inspected) })
	defer resume() // also where the test fails: else its end would wait for the worker
	f.during(func(c rotatortest.Call) rotatortest.Fault {
		if c.User != "" {
			stuck <- struct{}{}
			<-inspected
		}
		return rotatortest.Fault{}
	})
	begun := time.Now()
	wait := f.begin(t.Context(), "all-1", everything, 0)
	<-stuck

	i := f.inspect(serverA)

	resume()
	wait()
	if len(i.Queues) != 1 || i.Queues[0].Batches != 3 || !i.Queues[0].Of(serverA) || i.Queues[0].Of(serverB) {
		t.Errorf("got %+v", i.Queues)
	}
	if oldest := i.Queues[0].Oldest; oldest.Before(begun.Add(-time.Second)) || oldest.After(time.Now()) {
		t.Errorf("the oldest is of %s, not of the run that began at %s", oldest, begun)
	}
	if i := f.inspect(); len(i.Queues) > 0 {
		t.Errorf("after the run: %+v", i.Queues)
	}
}

func TestInspectionShowsWhoPlans(t *testing.T) {
	f := newFleet(t)
	planner := f.open("planner")
	if _, err := planner.Claim(t.Context(), "due-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := planner.Claim(t.Context(), "due-2"); err != nil {
		t.Fatal(err)
	}
	planner.Release(t.Context(), "due-2")

	i := f.inspect()

	if len(i.Planned) != 1 || i.Planned[0].Run != "due-1" || i.Planned[0].Planner != "planner" {
		t.Fatalf("got %+v", i.Planned)
	}
	at := i.Planned[0].At
	if i.Planned[0].Stale(at.Add(29*time.Second)) || !i.Planned[0].Stale(at.Add(30*time.Second)) {
		t.Error("another process plans it after 30 s")
	}
}
