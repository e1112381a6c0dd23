package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

const (
	// patience is how long a run waits for NATS that does not answer.
	patience = 5 * time.Minute
	// retryPause is the pause between tries of that.
	retryPause = 2 * time.Second
)

// Run is a run that this process plans. It is the [sweep.Engine] of it. The planner keeps
// its lease until the run is published.
type Run struct {
	*Cluster
	id     string
	served map[string]bool // hashes of the origins that some worker lists

	stop   context.CancelFunc
	leased sync.WaitGroup
}

// Preview returns a run that writes nothing, for a dry run.
func (c *Cluster) Preview(ctx context.Context) (*Run, error) {
	workers, err := c.Workers(ctx)
	if err != nil {
		return nil, err
	}
	r := &Run{Cluster: c, served: map[string]bool{}, stop: func() {}}
	for _, w := range workers {
		for _, server := range w.Servers {
			r.served[server] = true
		}
	}
	return r, nil
}

// Plan returns the run with this id, for a planner. The caller must close it.
func (c *Cluster) Plan(ctx context.Context, id string) (*Run, error) {
	r, err := c.Preview(ctx)
	if err != nil {
		return nil, err
	}
	r.id = id
	if err := c.setState(ctx, id, statePlanning); err != nil {
		return nil, err
	}
	ctx, r.stop = context.WithCancel(ctx)
	r.leased.Go(func() {
		for c.Clock.Sleep(ctx, leaseTTL/3) == nil {
			_ = c.setState(ctx, id, statePlanning) // else another process plans it too
		}
	})
	return r, nil
}

// ID names the run to other processes, see [Cluster.Attach].
func (r *Run) ID() string { return r.id }

// Close ends the lease.
func (r *Run) Close() {
	r.stop()
	r.leased.Wait()
}

// Serves implements [sweep.Engine], with the workers that were alive when the run began.
func (r *Run) Serves(origin rotator.Origin) error {
	if r.served[hash(origin)] {
		return nil
	}
	return sweep.ErrNoWorker
}

// Execute implements [sweep.Engine]. If NATS was emptied it publishes what has no result
// once more.
func (r *Run) Execute(ctx context.Context, keys *crypto.Keyring, order sweep.Order, assignments []sweep.Assignment, settled func(sweep.Settled)) error {
	f := &follower{Cluster: r.Cluster, run: r.id, keys: keys, settled: settled, batches: map[int]*batch{}, planned: true, until: order.Until}
	for {
		err := r.publishAll(ctx, sealer{keys, keys.Newest().Version}, order, assignments, f)
		if err == nil {
			err = f.follow(ctx)
		}
		switch {
		case ctx.Err() != nil:
			r.withdraw(ctx, f)
			return nil
		case errors.Is(err, errEmptied):
			assignments = f.unsettled(assignments)
			clear(f.batches)
			f.Report(fmt.Errorf("run %s is published again: %w", r.id, err))
		case err != nil:
			r.withdraw(ctx, f)
			return err
		default:
			return nil
		}
	}
}

// publishAll cuts the assignments of each server into batches, publishes them, and ends
// the lease. It waits for NATS.
func (r *Run) publishAll(ctx context.Context, s sealer, order sweep.Order, assignments []sweep.Assignment, f *follower) error {
	if _, err := r.create(ctx); err != nil && !errors.Is(err, ErrUnreachable) {
		return err
	}
	perServer := map[rotator.Origin][]sweep.Assignment{}
	for _, a := range assignments {
		perServer[a.Origin] = append(perServer[a.Origin], a)
	}
	seq := f.next
	// Round by round, so that each server's first batch does not wait for all of another's.
	for len(perServer) > 0 {
		for _, origin := range slices.Sorted(maps.Keys(perServer)) {
			all := perServer[origin]
			n := min(r.Batch, len(all))
			t := task{Run: r.id, Seq: seq, Batch: sweep.Batch{Order: order, Origin: origin, Assignments: all[:n]}}
			if err := r.insist(ctx, func() error { return r.enqueue(ctx, s, t) }); err != nil {
				return err
			}
			f.batches[seq] = &batch{task: t}
			seq++
			f.next = seq
			if perServer[origin] = all[n:]; len(all) == n {
				delete(perServer, origin)
			}
		}
	}
	end := report{Planned: &planned{Order: order, Batches: seq}}
	if err := r.insist(ctx, func() error { return r.tell(ctx, s, r.id, fmt.Sprint("planned.", seq), end) }); err != nil {
		return err
	}
	r.Close()
	return r.insist(ctx, func() error { return r.setState(ctx, r.id, statePublished) })
}

// insist repeats a request for as long as NATS does not answer, within its patience.
func (r *Run) insist(ctx context.Context, request func() error) error {
	for begun := r.Clock.Now(); ; {
		err := request()
		if !errors.Is(err, ErrUnreachable) || r.Clock.Now().Sub(begun) > patience {
			return err
		}
		if r.Clock.Sleep(ctx, retryPause) != nil {
			return err
		}
	}
}

// withdraw takes back what no worker has begun, and waits until the rest has ended, for no
// longer than a dead worker would keep it.
func (r *Run) withdraw(ctx context.Context, f *follower) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.AckWait+requestTimeout)
	defer cancel()
	if err := r.setState(ctx, r.id, stateWithdrawn); err != nil {
		return // the workers go on, and the batches end by themselves
	}
	_ = r.work.Purge(ctx, jetstream.WithPurgeSubject(r.workSubject("*", r.id)))
	f.withdrawn = true
	_ = f.follow(ctx)
}

// Attached is a run that another process has planned. It implements [sweep.Running].
type Attached struct {
	*Cluster
	id string
}

// Attach returns the run with this id, for a process that only follows it.
func (c *Cluster) Attach(id string) *Attached { return &Attached{c, id} }

// Assignments implements [sweep.Running]. It waits while the run is being planned.
func (a *Attached) Assignments(ctx context.Context, keys *crypto.Keyring) (order sweep.Order, all []sweep.Assignment, err error) {
	f := a.follower(keys, func(sweep.Settled) {})
	f.onlyPlan = true
	if err := f.follow(ctx); err != nil {
		return order, nil, err
	}
	for _, seq := range slices.Sorted(maps.Keys(f.batches)) {
		all = append(all, f.batches[seq].Assignments...)
	}
	return f.order, all, ctx.Err()
}

// Follow implements [sweep.Running].
func (a *Attached) Follow(ctx context.Context, keys *crypto.Keyring, settled func(sweep.Settled)) error {
	return a.follower(keys, settled).follow(ctx)
}

func (a *Attached) follower(keys *crypto.Keyring, settled func(sweep.Settled)) *follower {
	return &follower{Cluster: a.Cluster, run: a.id, keys: keys, settled: settled, batches: map[int]*batch{}}
}
