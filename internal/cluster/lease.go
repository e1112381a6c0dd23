package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// leaseTTL is how long a planner may be silent until another one plans in its place. Two
// at once are harmless: the work decides again, and finds done what the other has planned.
const leaseTTL = 30 * time.Second

// claimPause is the pause between looks at a run that another process is planning.
const claimPause = 5 * time.Second

// Role is what a process does in a run.
type Role int

// The roles.
const (
	Waits   Role = iota // another process is planning it
	Plans               // this process is to plan it
	Follows             // another process has planned it
)

// Together has one of the daemons that begin a run at the same time plan it, and the others
// follow it. If its planner withdraws it, because it was stopped, another one plans what is
// left.
func (c *Cluster) Together(ctx context.Context, id string, plan func(*Run) error, follow func(*Attached) (sweep.Report, error)) error {
	for {
		role, err := c.Claim(ctx, id)
		switch {
		case err != nil:
			return err
		case role == Plans:
			return c.planClaimed(ctx, id, plan)
		case role == Follows:
			running := c.Attach(id)
			report, err := follow(running)
			if err != nil || !running.withdrawn || report.Count(rotator.Deferred) == 0 {
				return err
			}
			continue // the run was withdrawn, so the claim is whoever's is first
		}
		if err := c.Clock.Sleep(ctx, claimPause); err != nil {
			return err
		}
	}
}

func (c *Cluster) planClaimed(ctx context.Context, id string, plan func(*Run) error) error {
	run, err := c.Plan(ctx, id)
	if err == nil {
		defer run.Close()
		err = plan(run)
	}
	if err != nil {
		c.Release(ctx, id)
	}
	return err
}

// Claim decides who plans a run that several daemons begin at the same time. A run that
// was withdrawn is planned again.
func (c *Cluster) Claim(ctx context.Context, run string) (Role, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	value, err := json.Marshal(runState{Planner: c.Name, State: statePlanning})
	if err != nil {
		return Waits, fmt.Errorf("encode the state of run %s: %w", run, err)
	}
	_, err = c.runs.Create(ctx, run, value)
	switch {
	case err == nil:
		return Plans, nil
	case !errors.Is(err, jetstream.ErrKeyExists):
		return Waits, fmt.Errorf("plan run %s: %w", run, explain(err))
	}
	state, entry, err := c.state(ctx, run)
	switch {
	case err != nil:
		return Waits, err
	case state.State == statePublished:
		return Follows, nil
	case state.State == statePlanning && state.Planner != c.Name && c.Clock.Now().Sub(entry.Created()) < leaseTTL:
		return Waits, nil
	}
	if _, err := c.runs.Update(ctx, run, value, entry.Revision()); err != nil {
		return Waits, nil //nolint:nilerr // another process took it over, or NATS fails: the next call knows
	}
	return Plans, nil
}

// Release gives a run back that this process could not plan.
func (c *Cluster) Release(ctx context.Context, run string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	if state, entry, err := c.state(ctx, run); err == nil && c.plans(state) {
		_ = c.runs.Delete(ctx, run, jetstream.LastRevision(entry.Revision())) // else the lease lapses
	}
}

// plans reports whether this process has the lease.
func (c *Cluster) plans(s runState) bool { return s.Planner == c.Name && s.State == statePlanning }

// renewLease keeps other processes from planning the run, unless one does already.
func (c *Cluster) renewLease(ctx context.Context, run string) {
	state, entry, err := c.state(ctx, run)
	if err != nil || !c.plans(state) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, _ = c.runs.Update(ctx, run, entry.Value(), entry.Revision()) // else another process plans it too
}

// state reads a run's state. It returns jetstream.ErrKeyNotFound if there is no such run.
func (c *Cluster) state(ctx context.Context, run string) (s runState, entry jetstream.KeyValueEntry, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if entry, err = c.runs.Get(ctx, run); err != nil {
		return s, nil, fmt.Errorf("read the state of run %s: %w", run, explain(err))
	}
	if err := json.Unmarshal(entry.Value(), &s); err != nil {
		return s, nil, fmt.Errorf("the state of run %s is of another release: %w", run, err)
	}
	return s, entry, nil
}

// setState writes a run's state, and returns a number that no other write of it has.
func (c *Cluster) setState(ctx context.Context, run, state string) (uint64, error) {
	value, err := json.Marshal(runState{Planner: c.Name, State: state})
	if err != nil {
		return 0, fmt.Errorf("encode the state of run %s: %w", run, err)
	}
	return c.put(ctx, run, value)
}

// put writes to the bucket of runs.
func (c *Cluster) put(ctx context.Context, key string, value []byte) (revision uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if revision, err = c.runs.Put(ctx, key, value); err != nil {
		return 0, fmt.Errorf("write %s: %w", key, explain(err))
	}
	return revision, nil
}
