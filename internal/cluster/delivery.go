package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// delivery is a batch that this worker has.
type delivery struct {
	task
	cluster *Cluster
	session Session
	sealer  sealer
	message jetstream.Msg

	mu      sync.Mutex // guards the fields below
	renewed time.Time  // no later than when NATS last heard that the batch is being worked on
	ended   error      // why nothing more of the batch begins here
}

// over says why nothing more of the batch may begin here; nil if it may. A batch whose last
// renewal is not recent may be another worker's, and is not regained. The margin is for
// clocks of different speed.
func (d *delivery) over() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended == nil && d.cluster.Clock.Now().Sub(d.renewed) >= d.cluster.AckWait*4/5 {
		d.ended = errLate
	}
	return d.ended
}

func (d *delivery) held() bool { return d.over() == nil }

func (d *delivery) end(why error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = cmp.Or(d.ended, why)
}

var errLate = errors.New("not acknowledged: NATS was not told in time that it is being worked on, so another worker may have it")

// do works through the batch, unless the run was withdrawn or has given up the server. An
// error means that the batch comes back, to this worker or to another: at once if no other
// can have it, else after AckWait. The next worker finds what is done.
func (d *delivery) do(ctx context.Context) (err error) {
	defer func() {
		if err != nil && d.held() {
			_ = d.message.Nak()
		}
	}()
	// Before the look at the run's state: so a planner that withdraws the run knows all
	// batches that go on.
	if err := d.report(ctx, "begun."+d.ID, report{Begun: d.progress()}); err != nil {
		return err
	}
	if err := d.renew(ctx); err != nil {
		return err
	}
	if d.held() {
		if err := d.work(ctx); err != nil {
			return err
		}
	}
	if err := d.over(); err != nil && !errors.Is(err, sweep.ErrWithdrawn) {
		return err
	}
	return d.finish(ctx)
}

// work takes the tenants through the protocol.
func (d *delivery) work(ctx context.Context) error {
	stopped, err := d.stopReason(ctx)
	if err != nil {
		return err
	}
	unbroken := context.WithoutCancel(ctx)
	if stopped != "" {
		for _, a := range d.Assignments {
			d.settle(unbroken, sweep.Settled{Tenant: a.Tenant, Origin: d.Origin, Outcome: rotator.Blocked, Reason: stopped})
		}
		return nil
	}
	renewing, stop := context.WithCancel(unbroken)
	var renewals sync.WaitGroup
	renewals.Go(func() { d.keep(renewing) })
	err = d.session.Work(ctx, d.Batch, d.held, func(s sweep.Settled) { d.settle(unbroken, s) })
	if givenUp, is := errors.AsType[*sweep.GivenUpError](err); is {
		err = d.giveUp(unbroken, givenUp)
	}
	stop()
	renewals.Wait()
	return cmp.Or(err, ctx.Err())
}

// keep renews the batch until ctx ends.
func (d *delivery) keep(ctx context.Context) {
	for d.cluster.Clock.Sleep(ctx, d.cluster.AckWait/10) == nil {
		_ = d.renew(ctx) // over knows
	}
}

// renew tells NATS that the batch is being worked on, and looks whether its run was
// withdrawn.
func (d *delivery) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	asked := d.cluster.Clock.Now()
	// A request, not a mere InProgress: without an answer NATS may not have heard it.
	if _, err := d.cluster.conn.RequestWithContext(ctx, d.message.Reply(), []byte("+WPI")); err != nil {
		return fmt.Errorf("renew: %w", explain(err))
	}
	d.heard(asked)
	state, _, err := d.cluster.state(ctx, d.Run)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound) || err == nil && state.State == stateWithdrawn:
		d.end(sweep.ErrWithdrawn)
	case err != nil:
		return err
	}
	return nil
}

// heard notes a renewal that NATS has answered now, unless that was too late.
func (d *delivery) heard(asked time.Time) {
	if d.held() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.renewed = asked
	}
}

// settle publishes a result. Without it the batch is not acknowledged.
func (d *delivery) settle(ctx context.Context, s sweep.Settled) {
	id := fmt.Sprintf("%s.%s.%d", d.ID, s.Tenant, attempt(d.message))
	if err := d.report(ctx, id, report{Settled: &s}); err != nil {
		d.end(err)
	}
}

// attempt counts the deliveries of a batch.
func attempt(message jetstream.Msg) uint64 {
	meta, err := message.Metadata()
	if err != nil {
		return 0
	}
	return meta.NumDelivered
}

func (d *delivery) progress() *progress { return &progress{d.ID, d.cluster.Name} }

func (d *delivery) report(ctx context.Context, id string, r report) error {
	return d.cluster.tell(ctx, d.sealer, d.Run, id, r)
}

// stopReason is why the run has given up the server; "" if it has not.
func (d *delivery) stopReason(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	key := stopKey(d.Run, hash(d.Origin))
	entry, err := d.cluster.runs.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", key, explain(err))
	}
	var reason string
	if _, err := unseal(d.session.Keys(), key, entry.Value(), &reason); err != nil {
		return "", err
	}
	return reason, nil
}

// giveUp tells the other workers that nothing more is to be sent to the server, before
// the batch ends: else another one would send a wrong token again. It waits for NATS as
// long as no other worker can have the batch.
func (d *delivery) giveUp(ctx context.Context, why error) error {
	key := stopKey(d.Run, hash(d.Origin))
	value, err := d.sealer.seal(key, why.Error())
	if err != nil {
		return err
	}
	for {
		if _, err = d.cluster.put(ctx, key, value); err == nil || !d.held() {
			return err
		}
		_ = d.cluster.Clock.Sleep(ctx, d.cluster.AckWait/10)
	}
}

// finish reports that the batch is done, and takes it out of NATS.
func (d *delivery) finish(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	if err := d.report(ctx, "done."+d.ID, report{Done: d.progress()}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := d.message.DoubleAck(ctx); err != nil {
		return fmt.Errorf("acknowledge: %w", explain(err))
	}
	return nil
}
