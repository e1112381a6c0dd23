package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	errLost      = errors.New("NATS has lost a part of the run: it was emptied, or its streams were purged")
	errNoRun     = errors.New("NATS knows no such run: it ended more than a week ago, never began, or NATS was emptied")
	errNoPlanner = errors.New("nobody plans the run: the process that began it has ended")
	errOvertime  = errors.New("the workers have not ended the run after its window: the next run goes on")
)

// follower reads the reports of a run until all of its batches are done.
type follower struct {
	*Cluster
	run      string
	keys     *crypto.Keyring
	settled  func(sweep.Settled)
	planner  bool // of this run: it knows its batches, and no others concern it
	onlyPlan bool // it wants to know no more than the batches

	order     sweep.Order
	batches   []*batch
	byID      map[string]*batch
	known     map[rotator.TenantID]bool // tenants with a result
	planned   bool                      // all batches are known
	behind    bool                      // there are reports that it has not read
	withdrawn bool                      // nothing more begins: what was begun is waited for
	other     bool                      // another process has withdrawn it
	foreign   bool                      // a message that is not ours was reported
	answered  time.Time                 // when NATS last answered
}

// batch is what a follower knows of one.
type batch struct {
	task
	begun, ended bool      // by a worker
	done         bool      // all of its tenants have results, or will have none
	stuck        time.Time // since when nobody can do it; zero: somebody can
}

func (f *follower) add(t task) {
	if f.byID == nil {
		f.byID = map[string]*batch{}
	}
	if f.byID[t.ID] == nil {
		b := &batch{task: t}
		f.byID[t.ID] = b
		f.batches = append(f.batches, b)
	}
}

// awaits reports whether the run is not complete without the batch.
func (f *follower) awaits(b *batch) bool { return !b.done && (b.begun && !b.ended || !f.withdrawn) }

func (f *follower) open() (open []*batch) {
	for _, b := range f.batches {
		if f.awaits(b) {
			open = append(open, b)
		}
	}
	return open
}

// complete is asked for each report. The reports on what was begun before a run was
// withdrawn may be behind.
func (f *follower) complete() bool {
	return f.planned && (f.onlyPlan || !slices.ContainsFunc(f.batches, f.awaits) && !(f.withdrawn && f.behind))
}

// follow returns when the run is complete, or can no longer be followed.
func (f *follower) follow(ctx context.Context) error {
	f.answered, f.behind = f.Clock.Now(), true
	for !f.complete() {
		err := f.read(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrUnreachable) && f.Clock.Now().Sub(f.answered) < patience:
			_ = f.Clock.Sleep(ctx, retryPause)
		case err != nil:
			return err
		}
	}
	if f.other {
		return sweep.ErrWithdrawn
	}
	return nil
}

// read reads all reports from the first one on: known ones change nothing.
func (f *follower) read(ctx context.Context) error {
	if err := f.check(ctx); err != nil {
		return err
	}
	consumer, err := f.store.results.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{f.resultSubject(f.run)}, MaxResetAttempts: 3,
	})
	if emptied(err) {
		return errLost
	}
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
		f.behind = false
		return nil
	}
	return fmt.Errorf("follow run %s: %w; %w", f.run, err, ErrUnreachable) // the consumer is gone: another try makes one
}

func (f *follower) handle(message jetstream.Msg) error {
	meta, err := message.Metadata()
	if err != nil {
		return fmt.Errorf("follow run %s: %w", f.run, err)
	}
	f.behind = meta.NumPending > 0
	var r report
	if _, err := unseal(f.keys, message.Subject(), message.Data(), &r); err != nil {
		if !f.foreign {
			f.foreign = true
			f.Report(fmt.Errorf("run %s: a report does not open: %w", f.run, err))
		}
		return nil
	}
	switch {
	case r.Queued != nil && !f.planner:
		f.add(*r.Queued)
	case r.Planned != nil:
		f.planned, f.order = true, *r.Planned
	case r.Begun != nil && f.byID[r.Begun.Batch] != nil:
		f.byID[r.Begun.Batch].begun = true
	case r.Done != nil && f.byID[r.Done.Batch] != nil:
		b := f.byID[r.Done.Batch]
		b.ended = true
		// A worker that took the run for withdrawn, because NATS had lost its state, has left
		// out tenants: the batch is lost.
		b.done = len(f.unsettled(b.Assignments)) == 0
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
	state, entry, err := f.state(ctx, f.run)
	missing := errors.Is(err, jetstream.ErrKeyNotFound)
	switch {
	case missing && !f.planned:
		return errNoRun
	case missing || emptied(err):
		return errLost
	case err != nil:
		return err
	}
	now := f.Clock.Now()
	f.answered = now
	switch {
	case f.behind: // what is missing may be there
		return nil
	case !f.planned && state.State == stateWithdrawn:
		return sweep.ErrWithdrawn
	case !f.planned && now.Sub(entry.Created()) > 4*leaseTTL:
		return errNoPlanner
	case !f.planned:
		return nil
	case !f.order.Until.IsZero() && now.After(f.order.Until.Add(overtime)):
		return errOvertime
	case state.State == stateWithdrawn && !f.withdrawn:
		f.withdrawn, f.other = true, true
	}
	return f.findStuck(ctx)
}

// findStuck gives up batches that no worker will take, and finds those that NATS has
// lost.
func (f *follower) findStuck(ctx context.Context) error {
	workers, err := f.Workers(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	work, err := f.work.Info(ctx, jetstream.WithSubjectFilter(f.workSubject("*", f.run)))
	switch {
	case emptied(err):
		return errLost
	case err != nil:
		return fmt.Errorf("follow run %s: %w", f.run, explain(err))
	}
	now := f.Clock.Now()
	for _, b := range f.open() {
		queued := work.State.Subjects[f.workSubject(hash(b.Origin), f.run)] > 0
		served := slices.ContainsFunc(workers, func(w Presence) bool { return w.Lists(b.Origin) })
		switch {
		case queued && served:
			b.stuck = time.Time{}
		case !queued && len(f.unsettled(b.Assignments)) == 0: // another batch had them
			b.done = true
		case b.stuck.IsZero():
			b.stuck = now
		case !queued && now.Sub(b.stuck) > f.lostAfter() && f.withdrawn: // and purged
			return sweep.ErrWithdrawn
		case !queued && now.Sub(b.stuck) > f.lostAfter():
			return errLost
		case queued && now.Sub(b.stuck) > orphaned:
			f.block(ctx, b)
		}
	}
	return nil
}

// lostAfter is how long a batch may be neither in NATS nor done: the report that it is
// done may be on its way, or the planner may be publishing it again.
func (f *follower) lostAfter() time.Duration {
	if f.planner {
		return f.AckWait
	}
	return 4 * f.AckWait
}

// block ends a batch whose server no worker lists.
func (f *follower) block(ctx context.Context, b *batch) {
	b.done = true
	if f.planner {
		_ = f.work.Purge(ctx, jetstream.WithPurgeSubject(f.workSubject(hash(b.Origin), f.run))) // else a later worker does it
	}
	for _, a := range f.unsettled(b.Assignments) {
		f.settle(sweep.Settled{Tenant: a.Tenant, Origin: a.Origin, Outcome: rotator.Blocked, Reason: sweep.ErrNoWorker.Error()})
	}
}
