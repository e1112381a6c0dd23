package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mailu-rotator/rotator"
)

// Presence is a worker that is alive. Only names and hashes are in it, so it is not
// sealed: a forged one can only delay a run.
type Presence struct {
	Worker  string    `json:"worker"`
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
	Servers []string  `json:"servers"` // hashes of the origins
	Batches int       `json:"batches"` // that it has now
	At      time.Time `json:"-"`       // its last sign, by NATS' clock
}

// Lists reports whether the worker's configuration has the server.
func (p Presence) Lists(origin rotator.Origin) bool { return slices.Contains(p.Servers, hash(origin)) }

// Workers returns the workers that are alive, by name.
func (c *Cluster) Workers(ctx context.Context) ([]Presence, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	bucket := c.workers
	if bucket == nil { // see Dial
		var err error
		if bucket, err = c.js.KeyValue(ctx, bucketName(c.workerBucket())); err != nil {
			return nil, fmt.Errorf("list the workers: %w", explain(err))
		}
	}
	keys, err := bucket.ListKeys(ctx)
	if emptied(err) {
		return nil, nil // live workers announce themselves again
	}
	if err != nil {
		return nil, fmt.Errorf("list the workers: %w", explain(err))
	}
	defer func() { _ = keys.Stop() }() // it has ended, unless this returns an error
	var all []Presence
	for key := range keys.Keys() {
		entry, err := bucket.Get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) { // it has just ended
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read a worker: %w", explain(err))
		}
		p := Presence{At: entry.Created()}
		if err := json.Unmarshal(entry.Value(), &p); err != nil {
			continue // of another release, or somebody else's
		}
		all = append(all, p)
	}
	if err := ctx.Err(); err != nil { // then the list is not complete
		return nil, fmt.Errorf("list the workers: %w", explain(err))
	}
	slices.SortFunc(all, func(a, b Presence) int { return strings.Compare(a.Worker, b.Worker) })
	return all, nil
}

// presenceAge is for how long workers have announced themselves in the bucket: it is made
// anew after NATS was emptied.
func (c *Cluster) presenceAge(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	stream, err := c.js.Stream(ctx, c.workerBucket().Name)
	if emptied(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look at the workers: %w", explain(err))
	}
	info := stream.CachedInfo()
	return info.TimeStamp.Sub(info.Created), nil // both by NATS' clock
}

// announce tells the others that this worker is alive.
func (c *Cluster) announce(ctx context.Context, p Presence) error {
	value, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode the worker's sign of life: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err := c.workers.Put(ctx, presenceKey(p.Worker), value); err != nil {
		return fmt.Errorf("announce the worker: %w", explain(err))
	}
	return nil
}

// leave removes the worker's sign of life.
func (c *Cluster) leave(ctx context.Context, worker string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	_ = c.workers.Delete(ctx, presenceKey(worker)) // else it lapses
}

// presenceKey is a worker's key in the bucket, whose alphabet has no colon or blank.
func presenceKey(worker string) string { return hash(rotator.Origin(worker)) }
