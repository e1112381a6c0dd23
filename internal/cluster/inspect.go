package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// Inspection is the state of a cluster, as a process sees it that changes nothing in it.
type Inspection struct {
	Missing     []string     // streams and buckets that do not exist
	Differences []Difference // of those that do, from what this release makes
	Replicas    []Replica    // of streams, that are not up to date; by server
	Workers     []Presence
	Queues      []Queue    // of servers that have work, by hash
	Planned     []Planning // runs that are being planned
}

// Difference is a setting of a stream or consumer that is not what this configuration
// asks for.
type Difference struct {
	Of   string // the stream or consumer
	Text string
	Fix  string // a command, or what to do
}

// Replica is a NATS server that does not have the last messages of streams.
type Replica struct {
	Server  string
	Offline bool // the other servers do not reach it; else it only lags behind
	Of      []string
}

// Serves returns nil if some worker lists the origin, else [sweep.ErrNoWorker].
func (i *Inspection) Serves(_ context.Context, origin rotator.Origin) error {
	if slices.ContainsFunc(i.Workers, func(p Presence) bool { return p.Lists(origin) }) {
		return nil
	}
	return sweep.ErrNoWorker
}

// Queue is the work for one Mailu server.
type Queue struct {
	Server  string    // the hash of its origin
	Batches int       // that are not done; a worker may have the first one
	Oldest  time.Time // when the first of them was published; zero: it has just been done
}

// Of reports whether the queue is that of a server.
func (q Queue) Of(origin rotator.Origin) bool { return q.Server == hash(origin) }

// Planning is a run that is being planned.
type Planning struct {
	Run     string
	Planner string
	At      time.Time // the last sign of its planner
}

// Stale reports whether another process may plan the run.
func (p Planning) Stale(now time.Time) bool { return now.Sub(p.At) >= leaseTTL }

// Dial connects and makes nothing in NATS, for [Cluster.Inspect] and [Check]. The
// caller must close the cluster.
func Dial(ctx context.Context, config Config) (*Cluster, error) {
	c := &Cluster{Config: config, back: make(chan struct{}, 1)}
	c.Announce = cmp.Or(c.Announce, presenceTTL/4)
	if err := c.connect(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Inspect looks at the streams and buckets, the workers, what waits for them, and the
// consumers of these servers.
func (c *Cluster) Inspect(ctx context.Context, origins []rotator.Origin) (i Inspection, err error) {
	work, err := c.inspectStreams(ctx, &i)
	if err != nil {
		return i, err
	}
	if work != nil {
		if err := c.inspectConsumers(ctx, work, origins, &i); err != nil {
			return i, err
		}
		if i.Queues, err = c.queues(ctx, work); err != nil {
			return i, err
		}
	}
	if !slices.Contains(i.Missing, bucketName(c.workerBucket())) {
		if i.Workers, err = c.Workers(ctx); err != nil {
			return i, err
		}
	}
	if !slices.Contains(i.Missing, bucketName(c.runBucket())) {
		i.Planned, err = c.planned(ctx)
	}
	return i, err
}

// Connected returns nil, or why nothing can be done now.
func (c *Cluster) Connected() error {
	if c.conn.IsConnected() {
		return nil
	}
	return ErrUnreachable
}

// Load returns the workers that are alive and what waits for them: a small part of
// [Cluster.Inspect].
func (c *Cluster) Load(ctx context.Context) ([]Presence, []Queue, error) {
	workers, err := c.Workers(ctx)
	if err != nil {
		return nil, nil, err
	}
	queues, err := c.queues(ctx, c.work)
	if emptied(err) {
		return workers, nil, nil
	}
	return workers, queues, err
}

// inspectStreams returns the stream of work, or nil.
func (c *Cluster) inspectStreams(ctx context.Context, i *Inspection) (work jetstream.Stream, err error) {
	for _, want := range []jetstream.StreamConfig{c.workStream(), c.resultStream(), c.runBucket(), c.workerBucket()} {
		stream, err := c.lookUp(ctx, want.Name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			i.Missing = append(i.Missing, bucketName(want))
			continue
		case err != nil:
			return nil, err
		case want.Name == c.workStream().Name:
			work = stream
		}
		info := stream.CachedInfo()
		for _, text := range compareStreams(info, want) {
			i.Differences = append(i.Differences, Difference{Of: want.Name, Text: text, Fix: "nats stream rm -f " + want.Name})
		}
		i.noteReplicas(info)
	}
	return work, nil
}

// silent is for how long a replica that lives is never silent: the leader asks it every
// second. One that was killed is not Offline for NATS, and Current until a message comes.
const silent = 10 * time.Second

func (i *Inspection) noteReplicas(info *jetstream.StreamInfo) {
	if info.Cluster == nil {
		return
	}
	for _, peer := range info.Cluster.Replicas {
		offline := peer.Offline || peer.Active > silent
		if peer.Current && !offline {
			continue
		}
		at := slices.IndexFunc(i.Replicas, func(r Replica) bool { return r.Server == peer.Name })
		if at < 0 {
			at = len(i.Replicas)
			i.Replicas = append(i.Replicas, Replica{Server: peer.Name})
		}
		r := &i.Replicas[at]
		r.Offline = r.Offline || offline
		r.Of = append(r.Of, info.Config.Name)
	}
	slices.SortFunc(i.Replicas, func(a, b Replica) int { return strings.Compare(a.Server, b.Server) })
}

func (c *Cluster) lookUp(ctx context.Context, name string) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	stream, err := c.js.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, explain(err))
	}
	return stream, nil
}

// compareStreams says what differs.
func compareStreams(info *jetstream.StreamInfo, want jetstream.StreamConfig) (texts []string) {
	has := info.Config
	note := func(differs bool, what string, has, want any) {
		if differs {
			texts = append(texts, fmt.Sprintf("%s is %v, not %v", what, has, want))
		}
	}
	note(has.Retention != want.Retention, "retention", has.Retention, want.Retention)
	note(has.Storage != want.Storage, "storage", has.Storage, want.Storage)
	note(has.Replicas != want.Replicas, "replicas", has.Replicas, want.Replicas)
	note(has.MaxAge != want.MaxAge, "max-age", has.MaxAge, want.MaxAge)
	note(has.AllowDirect != want.AllowDirect, "allow-direct", has.AllowDirect, want.AllowDirect)
	note(!slices.Equal(has.Subjects, want.Subjects), "subjects", has.Subjects, want.Subjects)
	return texts
}

// inspectConsumers compares existing ones: a worker makes that of its server.
func (c *Cluster) inspectConsumers(ctx context.Context, work jetstream.Stream, origins []rotator.Origin, i *Inspection) error {
	for _, origin := range origins {
		want := c.consumerConfig(origin)
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		consumer, err := work.Consumer(ctx, want.Durable)
		cancel()
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("consumer of %s: %w", origin, explain(err))
		}
		for _, text := range compareConsumers(consumer.CachedInfo().Config, want) {
			i.Differences = append(i.Differences, Difference{
				Of: "consumer of " + string(origin), Text: text, Fix: "give all hosts the same section cluster, and restart their workers",
			})
		}
	}
	return nil
}

func compareConsumers(has, want jetstream.ConsumerConfig) (texts []string) {
	note := func(differs bool, what string, has, want any) {
		if differs {
			texts = append(texts, fmt.Sprintf("%s is %v, not %v", what, has, want))
		}
	}
	note(has.AckWait != want.AckWait, "ack-wait", has.AckWait, want.AckWait)
	note(has.MaxAckPending != want.MaxAckPending, "max-pending", has.MaxAckPending, want.MaxAckPending)
	note(has.MaxDeliver != want.MaxDeliver, "max-deliver", has.MaxDeliver, want.MaxDeliver)
	note(has.FilterSubject != want.FilterSubject, "filter", has.FilterSubject, want.FilterSubject)
	return texts
}

// queues counts the batches that are not done: an acknowledged one leaves the stream.
func (c *Cluster) queues(ctx context.Context, work jetstream.Stream) ([]Queue, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*requestTimeout)
	defer cancel()
	info, err := work.Info(ctx, jetstream.WithSubjectFilter(c.workSubject("*", "*")))
	if err != nil {
		return nil, fmt.Errorf("count the batches: %w", explain(err))
	}
	batches := map[string]int{}
	for subject, n := range info.State.Subjects {
		if parts := strings.Split(subject, "."); len(parts) == 4 {
			batches[parts[2]] += int(min(n, 1<<31))
		}
	}
	var all []Queue
	for _, server := range slices.Sorted(maps.Keys(batches)) {
		q := Queue{Server: server, Batches: batches[server]}
		first, err := work.GetMsg(ctx, info.State.FirstSeq, jetstream.WithGetMsgSubject(c.workSubject(server, "*")))
		switch {
		case err == nil:
			q.Oldest = first.Time
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return nil, fmt.Errorf("read the first batch: %w", explain(err))
		}
		all = append(all, q)
	}
	return all, nil
}

// planned returns the runs that are being planned.
func (c *Cluster) planned(ctx context.Context) ([]Planning, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*requestTimeout)
	defer cancel()
	bucket, err := c.js.KeyValue(ctx, bucketName(c.runBucket()))
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", bucketName(c.runBucket()), explain(err))
	}
	keys, err := bucket.ListKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the runs: %w", explain(err))
	}
	defer func() { _ = keys.Stop() }() // it has ended, unless this returns an error
	var all []Planning
	for key := range keys.Keys() {
		entry, err := bucket.Get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) { // it was just given back
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read run %s: %w", key, explain(err))
		}
		var s runState
		if err := json.Unmarshal(entry.Value(), &s); err == nil && s.State == statePlanning { // else a server that a run has given up
			all = append(all, Planning{Run: key, Planner: s.Planner, At: entry.Created()})
		}
	}
	return all, nil
}
