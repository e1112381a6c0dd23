package rotator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// askUsers asks Mailu about the user of each planned addition. The reason then says
// whether the user is taken over or created; an addition whose user Mailu refuses is
// removed from the plan. Servers are queried concurrently.
func (r *run) askUsers(ctx context.Context, plan []Decision) {
	byOrigin := map[Origin][]*Decision{}
	for i := range plan {
		if d := &plan[i]; d.Action == Add {
			byOrigin[d.Credential.Origin] = append(byOrigin[d.Credential.Origin], d)
		}
	}
	var all errgroup.Group
	for origin, additions := range byOrigin {
		server, err := r.Mailu.Server(origin)
		if err != nil {
			continue // the plan has no such addition
		}
		q := &inquiry{server: server, registry: r.Users, timeout: r.ClaimTTL}
		all.Go(func() error {
			var group errgroup.Group
			group.SetLimit(server.MaxConcurrent())
			for _, d := range additions {
				group.Go(func() error {
					q.ask(ctx, d)
					return nil
				})
			}
			return group.Wait()
		})
	}
	_ = all.Wait() // its functions return nil
}

// inquiry asks one server about users, and stops once the server has shown that it
// cannot be used.
type inquiry struct {
	server   Server
	registry Registry
	timeout  time.Duration // of all requests for one user

	mu     sync.Mutex // guards the fields below
	silent int        // users in a row without an answer
	closed error      // why no further users are requested
}

// ask stores in d what Mailu says about its user.
func (q *inquiry) ask(ctx context.Context, d *Decision) {
	if ctx.Err() != nil {
		d.leave(Deferred, errInterrupted)
		return
	}
	if err := q.isClosed(); err != nil {
		d.leave(Blocked, err)
		return
	}
	within, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	reason, err := foresee(within, q.server, q.registry, d.Credential, d.Reason)
	switch {
	case err != nil && ctx.Err() != nil:
		d.leave(Deferred, errInterrupted)
	case err != nil:
		d.leave(Failed, err)
	default:
		d.Reason = reason
	}
	q.learn(err)
}

// leave removes an addition from the plan.
func (d *Decision) leave(outcome Outcome, err error) {
	d.Action, d.Outcome, d.Reason, d.Err = Leave, outcome, err.Error(), err
}

func (q *inquiry) isClosed() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// learn closes the server as a run would: immediately if nothing more may be sent to
// it, or after no answer about several users in a row.
func (q *inquiry) learn(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err == nil || errors.Is(err, ErrRefused) {
		q.silent = 0
	} else {
		q.silent++
	}
	if q.closed == nil && (mayNotBeAsked(err) || q.silent >= maxSilent) {
		q.closed = fmt.Errorf("not asked, since its server fails: %w", err)
	}
}
