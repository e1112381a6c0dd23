package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

const (
	// checkPause is the pause between looks at the state of a run that is followed.
	checkPause = 2 * time.Second
	// orphaned is how long a batch may wait while no worker lists its server.
	orphaned = 2 * presenceTTL
	// overtime is how long after the end of its window a run is followed: its workers begin
	// nothing by then, and say so.
	overtime = 30 * time.Minute
)

var (
	errEmptied   = errors.New("NATS was emptied")
	errWithdrawn = errors.New("the run was withdrawn: the next run goes on")
	errNoRun     = errors.New("NATS knows no such run: it ended more than a week ago, never began, or NATS was emptied")
)

// follower reads the reports of a run until all of its batches are done.
type follower struct {
	*Cluster
	run     string
	keys    *crypto.Keyring
	settled func(sweep.Settled)

	batches   map[int]*batch
	known     map[rotator.TenantID]bool // tenants with a result
	next      int                       // the number of the next batch, for a planner
	order     sweep.Order
	until     time.Time // of the order
	planned   bool      // all batches are known
	onlyPlan  bool      // the follower wants to know no more than those
	withdrawn bool      // nothing more begins: what was begun is waited for
	other     bool      // another process has withdrawn it
	foreign   bool      // a message that is not ours was reported
	answered  time.Time // when NATS last answered
}

// batch is what a follower knows of one.
type batch struct {
	task
	begun, done bool
	orphan      time.Time // since when no worker lists its server; zero: one does
}

// follow returns when the run is complete, or cannot be followed any more.
func (f *follower) follow(ctx context.Context) error {
	f.answered = f.Clock.Now()
	for !f.complete() {
		err := f.read(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil || f.complete():
		case errors.Is(err, ErrUnreachable) && f.Clock.Now().Sub(f.answered) < patience:
			_ = f.Clock.Sleep(ctx, retryPause)
		default:
			return err
		}
	}
	if f.other {
		return errWithdrawn
	}
	return nil
}

func (f *follower) complete() bool {
	if !f.planned {
		return false
	}
	if f.onlyPlan {
		return true
	}
	for _, b := range f.batches {
		if !b.done && (b.begun || !f.withdrawn) {
			return false
		}
	}
	return true
}

// read reads all reports from the first one on: those that are known change nothing.
func (f *follower) read(ctx context.Context) error {
	if err := f.check(ctx); err != nil {
		return err
	}
	consumer, err := f.store.results.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{f.resultSubject(f.run)}, MaxResetAttempts: 3,
	})
	if err != nil {
		return fmt.Errorf("follow run %s: %w", f.run, explain(err))
	}
	messages, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("follow run %s: %w", f.run, explain(err))
	}
	defer messages.Stop()
	for checked := f.Clock.Now(); !f.complete(); {
		if err := f.receive(ctx, messages); err != nil {
			return err
		}
		if now := f.Clock.Now(); now.Sub(checked) >= checkPause {
			if err := f.check(ctx); err != nil {
				return err
			}
			checked = now
		}
	}
	return nil
}

// receive takes one report, or none if none comes in time.
func (f *follower) receive(ctx context.Context, messages jetstream.MessagesContext) error {
	waiting, cancel := context.WithTimeout(ctx, checkPause)
	defer cancel()
	message, err := messages.Next(jetstream.NextContext(waiting))
	switch {
	case err == nil:
		return f.handle(message)
	case ctx.Err() != nil:
		return ctx.Err()
	case waiting.Err() != nil || errors.Is(err, nats.ErrTimeout):
		return nil
	}
	return fmt.Errorf("follow run %s: %w", f.run, explain(err))
}

func (f *follower) handle(message jetstream.Msg) error {
	var r report
	if _, err := unseal(f.keys, message.Subject(), message.Data(), &r); err != nil {
		if !f.foreign {
			f.foreign = true
			f.Report(fmt.Errorf("run %s: %w", f.run, err))
		}
		return nil
	}
	switch {
	case r.Queued != nil:
		if f.batches[r.Queued.Seq] == nil {
			f.batches[r.Queued.Seq] = &batch{task: *r.Queued}
		}
	case r.Planned != nil:
		f.planned, f.order, f.until = true, r.Planned.Order, r.Planned.Until
	case r.Begun != nil && f.batches[r.Begun.Seq] != nil:
		f.batches[r.Begun.Seq].begun = true
	case r.Done != nil && f.batches[r.Done.Seq] != nil:
		f.batches[r.Done.Seq].done = true
	case r.Settled != nil:
		f.settle(*r.Settled)
	}
	return nil
}

func (f *follower) settle(s sweep.Settled) {
	if f.onlyPlan {
		return
	}
	if f.known == nil {
		f.known = map[rotator.TenantID]bool{}
	}
	f.known[s.Tenant] = true
	f.settled(s)
}

// unsettled returns the assignments without a result.
func (f *follower) unsettled(all []sweep.Assignment) (rest []sweep.Assignment) {
	for _, a := range all {
		if !f.known[a.Tenant] {
			rest = append(rest, a)
		}
	}
	return rest
}

// check looks whether the run is still there, and whether its batches can still be done.
func (f *follower) check(ctx context.Context) error {
	state, _, err := f.state(ctx, f.run)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound) && !f.planned:
		return errNoRun
	case errors.Is(err, jetstream.ErrKeyNotFound) || emptied(err) || err != nil && f.gone(ctx):
		return errEmptied
	case err != nil:
		return err
	case state.State == stateWithdrawn && !f.withdrawn && !f.onlyPlan:
		f.withdrawn, f.other = true, true
	}
	f.answered = f.Clock.Now()
	if !f.until.IsZero() && f.answered.After(f.until.Add(overtime)) {
		return errors.New("the workers have not ended the run after its window: the next run goes on")
	}
	return f.findOrphans(ctx)
}

// findOrphans gives up batches that no worker will take.
func (f *follower) findOrphans(ctx context.Context) error {
	if f.onlyPlan {
		return nil
	}
	workers, err := f.Workers(ctx)
	if err != nil {
		return err
	}
	for _, b := range f.batches {
		served := false
		for _, w := range workers {
			served = served || w.Lists(b.Origin)
		}
		switch now := f.Clock.Now(); {
		case b.done || served:
			b.orphan = time.Time{}
		case b.orphan.IsZero():
			b.orphan = now
		case now.Sub(b.orphan) > orphaned:
			_ = f.work.Purge(ctx, jetstream.WithPurgeSubject(f.workSubject(hash(b.Origin), f.run)))
			b.done = true
			for _, a := range b.Assignments {
				if !f.known[a.Tenant] {
					f.settle(sweep.Settled{Tenant: a.Tenant, Origin: a.Origin, Outcome: rotator.Blocked, Reason: sweep.ErrNoWorker.Error()})
				}
			}
		}
	}
	return nil
}
