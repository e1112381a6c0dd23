package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
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
	ended   bool       // the run was withdrawn
	failed  error      // a result that could not be published
}

// held reports whether no other worker can have the batch: its last renewal is recent.
// The margin is for the answer to a renewal that came late.
func (d *delivery) held() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.ended && d.failed == nil && d.cluster.Clock.Now().Sub(d.renewed) < d.cluster.AckWait*4/5
}

// withdrawn reports whether nothing more of the run may begin.
func (d *delivery) withdrawn() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ended
}

// problem is why a result could not be published; nil if all could.
func (d *delivery) problem() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}

// do works through the batch, unless the run was withdrawn or has given up the server.
func (d *delivery) do(ctx context.Context) error {
	switch err := d.renew(ctx); {
	case err != nil:
		return err
	case d.withdrawn():
		return d.finish(ctx)
	case !d.held():
		return errLate
	}
	stopped, err := d.stopReason(ctx)
	if err != nil {
		return err
	}
	if err := d.report(ctx, "begun."+strconv.Itoa(d.Seq), report{Begun: &progress{d.Seq, d.cluster.Name}}); err != nil {
		return err
	}
	if stopped != "" {
		for _, a := range d.Assignments {
			d.settle(ctx, sweep.Settled{Tenant: a.Tenant, Origin: d.Origin, Outcome: rotator.Blocked, Reason: stopped})
		}
	} else if err := d.work(ctx); err != nil {
		return err
	}
	if err := d.problem(); err != nil { // the tenants are found done when the batch comes back
		return err
	}
	return d.finish(ctx)
}

var errLate = errors.New("not acknowledged: NATS was not told in time that it is being worked on, so another worker may have it")

// work takes the tenants through the protocol. What is not begun when ctx ends is given
// to another worker.
func (d *delivery) work(ctx context.Context) error {
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var renewals sync.WaitGroup
	renewals.Go(func() { d.keep(renewing) })
	givenUp := d.session.Work(ctx, d.Batch, d.held, func(s sweep.Settled) { d.settle(context.WithoutCancel(ctx), s) })
	stop()
	renewals.Wait()
	switch {
	case givenUp != nil: // before the batch ends, so that no other worker sends a wrong token again
		return d.giveUp(context.WithoutCancel(ctx), givenUp)
	case d.withdrawn():
		return nil
	case ctx.Err() != nil:
		_ = d.message.Nak() // else it comes back after AckWait
		return ctx.Err()
	case !d.held():
		return cmp.Or(d.problem(), errLate)
	}
	return nil
}

// keep renews the batch until ctx ends.
func (d *delivery) keep(ctx context.Context) {
	for d.cluster.Clock.Sleep(ctx, d.cluster.AckWait/10) == nil {
		_ = d.renew(ctx) // held knows
	}
}

// renew tells NATS that the batch is being worked on, and looks whether its run was
// withdrawn. A renewal has no answer of its own: the request that follows it on the
// same connection has.
func (d *delivery) renew(ctx context.Context) error {
	asked := d.cluster.Clock.Now()
	if err := d.message.InProgress(); err != nil {
		return fmt.Errorf("renew: %w", err)
	}
	state, _, err := d.cluster.state(ctx, d.Run)
	gone := errors.Is(err, jetstream.ErrKeyNotFound)
	if err != nil && !gone {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if asked.Sub(d.renewed) < d.cluster.AckWait { // else another worker may have it already
		d.renewed = asked
	}
	d.ended = d.ended || gone || state.State == stateWithdrawn
	return nil
}

// settle publishes a result. Without it the batch is not acknowledged.
func (d *delivery) settle(ctx context.Context, s sweep.Settled) {
	id := strconv.Itoa(d.Seq) + "." + string(s.Tenant) + "." + d.attempt()
	if err := d.report(ctx, id, report{Settled: &s}); err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.failed = err
	}
}

// attempt tells deliveries of one batch apart.
func (d *delivery) attempt() string {
	meta, err := d.message.Metadata()
	if err != nil {
		return "0"
	}
	return strconv.FormatUint(meta.NumDelivered, 10)
}

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

// giveUp tells the other workers that nothing more is to be sent to the server.
func (d *delivery) giveUp(ctx context.Context, why error) error {
	key := stopKey(d.Run, hash(d.Origin))
	value, err := d.sealer.seal(key, why.Error())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err := d.cluster.runs.Put(ctx, key, value); err != nil {
		return fmt.Errorf("write %s: %w", key, explain(err))
	}
	return nil
}

// finish reports that the batch is done, and takes it out of NATS.
func (d *delivery) finish(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	if err := d.report(ctx, "done."+strconv.Itoa(d.Seq), report{Done: &progress{d.Seq, d.cluster.Name}}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := d.message.DoubleAck(ctx); err != nil {
		return fmt.Errorf("acknowledge: %w", explain(err))
	}
	return nil
}
