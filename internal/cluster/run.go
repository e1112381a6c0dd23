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
	// maxPublished is how often a run publishes what NATS has lost.
	maxPublished = 10
)

// Run is a run that this process plans. It is the [sweep.Engine] of it. The planner keeps
// its lease until the run is published.
type Run struct {
	*Cluster
	id   string
	plan uint64 // tells the batches of this planner from those of another
	seq  int    // of the next batch

	mu     sync.Mutex // guards the fields below
	known  []Presence // the workers that are alive
	awaits time.Time  // until when others may still announce themselves

	stop   context.CancelFunc
	leased sync.WaitGroup
}

// Preview returns a run that writes nothing, for a dry run.
func (c *Cluster) Preview(ctx context.Context) (*Run, error) {
	age, err := c.presenceAge(ctx)
	if err != nil {
		return nil, err
	}
	r := &Run{Cluster: c, stop: func() {}, awaits: c.Clock.Now().Add(c.Announce*4/3 - age)}
	r.known, err = c.Workers(ctx)
	return r, err
}

// Plan returns the run with this id, for a planner. The caller must close it.
func (c *Cluster) Plan(ctx context.Context, id string) (*Run, error) {
	r, err := c.Preview(ctx)
	if err != nil {
		return nil, err
	}
	r.id = id
	if r.plan, err = c.setState(ctx, id, statePlanning); err != nil {
		return nil, err
	}
	ctx, r.stop = context.WithCancel(ctx)
	r.leased.Go(func() {
		for c.Clock.Sleep(ctx, leaseTTL/3) == nil {
			c.renewLease(ctx, id)
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
// After NATS was emptied it waits until those that live have announced themselves again.
func (r *Run) Serves(ctx context.Context, origin rotator.Origin) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !slices.ContainsFunc(r.known, func(p Presence) bool { return p.Lists(origin) }) {
		if !r.Clock.Now().Before(r.awaits) || r.Clock.Sleep(ctx, r.Announce/15) != nil {
			return sweep.ErrNoWorker
		}
		if again, err := r.Workers(ctx); err == nil {
			r.known = again
		}
	}
	return nil
}

// Execute implements [sweep.Engine]. What NATS has lost it publishes once more.
func (r *Run) Execute(ctx context.Context, keys *crypto.Keyring, order sweep.Order, assignments []sweep.Assignment, settled func(sweep.Settled)) error {
	f := &follower{Cluster: r.Cluster, run: r.id, keys: keys, settled: settled, planned: true, planner: true, order: order}
	for range maxPublished {
		err := r.publish(ctx, sealer{keys, keys.Newest().Version}, f, assignments)
		if err == nil {
			err = f.follow(ctx)
		}
		switch {
		case errors.Is(err, errLost) && ctx.Err() == nil:
			assignments = f.unsettled(assignments)
			f.Report(fmt.Errorf("run %s is published again: %w", r.id, err))
			continue
		case err != nil:
			r.withdraw(ctx, f)
		}
		return err
	}
	r.withdraw(ctx, f)
	return errLost
}

// publish cuts the assignments of each server into batches, publishes them in place of the
// batches that the follower knows, and ends the lease. It waits for NATS.
func (r *Run) publish(ctx context.Context, s sealer, f *follower, assignments []sweep.Assignment) error {
	tell := func(id string, part report) error {
		return r.insist(ctx, func() error { return r.tell(ctx, s, r.id, id, part) })
	}
	// Workers take a batch of a run without a state for one that was withdrawn.
	if err := r.insist(ctx, func() error { return r.announceRun(ctx, statePlanning) }); err != nil {
		return err
	}
	for _, batch := range r.cut(f.order, assignments) {
		t := task{Run: r.id, ID: fmt.Sprintf("%d.%d", r.plan, r.seq), Batch: batch}
		r.seq++
		if err := r.insist(ctx, func() error { return r.enqueue(ctx, s, t) }); err != nil {
			return err
		}
		f.add(t)
	}
	if err := tell(fmt.Sprintf("planned.%d.%d", r.plan, r.seq), report{Planned: &f.order}); err != nil {
		return err
	}
	r.Close()
	return r.insist(ctx, func() error { return r.announceRun(ctx, statePublished) })
}

// announceRun writes the state of the run, unless another process has withdrawn it.
func (r *Run) announceRun(ctx context.Context, state string) error {
	known, _, err := r.state(ctx, r.id)
	switch {
	case err == nil && known.State == stateWithdrawn:
		return sweep.ErrWithdrawn
	case err != nil && !errors.Is(err, jetstream.ErrKeyNotFound):
		return err
	}
	_, err = r.setState(ctx, r.id, state)
	return err
}

// cut makes batches of each server's assignments, in their order. It goes round by round,
// so that each server's first batch does not wait for all of another's.
func (r *Run) cut(order sweep.Order, assignments []sweep.Assignment) (batches []sweep.Batch) {
	perServer := map[rotator.Origin][]sweep.Assignment{}
	for _, a := range assignments {
		perServer[a.Origin] = append(perServer[a.Origin], a)
	}
	for len(perServer) > 0 {
		for _, origin := range slices.Sorted(maps.Keys(perServer)) {
			all := perServer[origin]
			n := min(r.Batch, len(all))
			batches = append(batches, sweep.Batch{Order: order, Origin: origin, Assignments: all[:n]})
			if perServer[origin] = all[n:]; len(all) == n {
				delete(perServer, origin)
			}
		}
	}
	return batches
}

// insist repeats a request for as long as NATS does not answer, or was emptied, within its
// patience.
func (r *Run) insist(ctx context.Context, request func() error) error {
	for begun := r.Clock.Now(); ; {
		err := request()
		if !errors.Is(err, ErrUnreachable) && !emptied(err) || r.Clock.Now().Sub(begun) > patience {
			return err
		}
		if r.Clock.Sleep(ctx, retryPause) != nil {
			return err
		}
		_, _ = r.create(ctx) // what is gone
	}
}

// withdraw takes back what no worker has begun, and waits until the rest has ended, for no
// longer than a dead worker would keep it.
func (r *Run) withdraw(ctx context.Context, f *follower) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.AckWait+requestTimeout)
	defer cancel()
	if _, err := r.setState(ctx, r.id, stateWithdrawn); err != nil {
		return // the workers go on, and the batches end by themselves
	}
	_ = r.work.Purge(ctx, jetstream.WithPurgeSubject(r.workSubject("*", r.id)))
	f.withdrawn = true
	_ = f.follow(ctx)
}

// Attached is a run that another process has planned. It implements [sweep.Running].
type Attached struct {
	*Cluster
	id        string
	withdrawn bool // by its planner, as Follow has found
}

// Attach returns the run with this id, for a process that only follows it.
func (c *Cluster) Attach(id string) *Attached { return &Attached{Cluster: c, id: id} }

// Assignments implements [sweep.Running]. It waits while the run is being planned.
func (a *Attached) Assignments(ctx context.Context, keys *crypto.Keyring) (order sweep.Order, all []sweep.Assignment, err error) {
	f := a.follower(keys, func(sweep.Settled) {})
	f.onlyPlan = true
	if err := f.follow(ctx); err != nil {
		return order, nil, err
	}
	listed := map[rotator.TenantID]bool{} // two planners may have planned a tenant
	for _, b := range f.batches {
		for _, assignment := range b.Assignments {
			if !listed[assignment.Tenant] {
				listed[assignment.Tenant] = true
				all = append(all, assignment)
			}
		}
	}
	return f.order, all, nil
}

// Follow implements [sweep.Running].
func (a *Attached) Follow(ctx context.Context, keys *crypto.Keyring, settled func(sweep.Settled)) error {
	err := a.follower(keys, settled).follow(ctx)
	a.withdrawn = errors.Is(err, sweep.ErrWithdrawn)
	return err
}

func (a *Attached) follower(keys *crypto.Keyring, settled func(sweep.Settled)) *follower {
	return &follower{Cluster: a.Cluster, run: a.id, keys: keys, settled: settled}
}
