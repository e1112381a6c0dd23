package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// leaseTTL is how long a planner may be silent until another one plans in its place. Two
// at once are harmless: their batches have the same ids, and the work decides again.
const leaseTTL = 30 * time.Second

// Role is what a process does in a run.
type Role int

// The roles.
const (
	Waits   Role = iota // another process is planning it
	Plans               // this process is to plan it
	Follows             // another process has planned it
)

// Claim decides who plans a run that several daemons begin at the same time.
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
	case state.State != statePlanning:
		return Follows, nil
	case state.Planner != c.Name && c.Clock.Now().Sub(entry.Created()) < leaseTTL:
		return Waits, nil
	}
	if _, err := c.runs.Update(ctx, run, value, entry.Revision()); err != nil {
		return Waits, nil //nolint:nilerr // another process took it over, or NATS fails: the next call knows
	}
	return Plans, nil
}

// Release gives a run back that could not be planned.
func (c *Cluster) Release(ctx context.Context, run string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	_ = c.runs.Delete(ctx, run) // else the lease lapses
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

// setState writes a run's state, which also renews the planner's lease.
func (c *Cluster) setState(ctx context.Context, run, state string) error {
	value, err := json.Marshal(runState{Planner: c.Name, State: state})
	if err != nil {
		return fmt.Errorf("encode the state of run %s: %w", run, err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err := c.runs.Put(ctx, run, value); err != nil {
		return fmt.Errorf("write the state of run %s: %w", run, explain(err))
	}
	return nil
}
