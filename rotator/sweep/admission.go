package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"mailu-rotator/rotator"
)

// askUsers asks Mailu about the user of each planned addition. The reason then says
// whether the user is taken over or created; an addition whose user Mailu refuses is
// removed from the plan. Servers are queried concurrently.
func (r *run) askUsers(ctx context.Context, plan []Decision) {
	var additions []*Decision
	for i := range plan {
		if plan[i].Action == rotator.Add {
			additions = append(additions, &plan[i])
		}
	}
	perServer(additions, func(d *Decision) rotator.Origin { return d.Credential.Origin }, func(origin rotator.Origin, additions []*Decision) {
		server, err := r.Mailu.Server(origin)
		if err != nil {
			return // the plan has no such addition
		}
		q := &inquiry{run: r, server: server}
		parallel(server.MaxConcurrent(), len(additions), func(i int) { q.ask(ctx, additions[i]) })
	})
}

// inquiry asks one server about users, and stops once the server has shown that it
// cannot be used.
type inquiry struct {
	*run
	server rotator.Server

	mu     sync.Mutex // guards the fields below
	silent int        // users in a row without an answer
	closed error      // why no further users are requested
}

// ask stores in d what Mailu says about its user.
func (q *inquiry) ask(ctx context.Context, d *Decision) {
	if ctx.Err() != nil {
		d.leave(rotator.Deferred, errInterrupted)
		return
	}
	if err := q.isClosed(); err != nil {
		d.leave(rotator.Blocked, err)
		return
	}
	within, cancel := context.WithTimeout(ctx, q.ClaimTTL)
	defer cancel()
	reason, err := rotator.ForeseeUser(within, q.server, q.creator, d.Credential, d.Reason)
	switch {
	case err != nil && ctx.Err() != nil:
		d.leave(rotator.Deferred, errInterrupted)
	case err != nil:
		d.leave(rotator.Failed, err)
	default:
		d.Reason = reason
	}
	q.learn(err)
}

// leave removes an addition from the plan.
func (d *Decision) leave(outcome rotator.Outcome, err error) {
	d.Action, d.Outcome, d.Reason, d.Err = rotator.Leave, outcome, err.Error(), err
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
	if err == nil || errors.Is(err, rotator.ErrRefused) {
		q.silent = 0
	} else {
		q.silent++
	}
	if q.closed == nil && (rotator.MayNotBeAsked(err) || q.silent >= maxUnanswered) {
		q.closed = fmt.Errorf("not asked, since its server fails: %w", err)
	}
}

// namesakes returns the search of a run for the records that name a user. A record under
// which no process is adding a tenant is settled: it keeps its user, so it is not read
// again for other users. The fleet has been read. A record that cannot be read may name
// any user.
func (r *run) namesakes(fleet []rotator.Candidate) func(context.Context, rotator.Credential) ([]rotator.Candidate, error) {
	var settled sync.Map // the [rotator.UserKey] of settled records, by name
	for _, c := range fleet {
		if !c.Open() {
			settled.Store(c.Name, rotator.UserKey(c))
		}
	}
	return func(ctx context.Context, mine rotator.Credential) ([]rotator.Candidate, error) {
		user := rotator.UserKey(r.candidateOf(mine))
		var possible []string
		err := r.listFleet(ctx, func(name string) {
			if other, found := settled.Load(name); name != string(mine.Tenant) && (!found || other == user) {
				possible = append(possible, name)
			}
		})
		if err != nil {
			return nil, rotator.StoreError(err)
		}
		read := make([]rotator.Candidate, len(possible))
		group, groupCtx := errgroup.WithContext(ctx)
		group.SetLimit(max(r.Workers, 1))
		for i, name := range possible {
			group.Go(func() error {
				c := r.candidate(groupCtx, name)
				if c.Unread() {
					return rotator.StoreError(fmt.Errorf("tenant %s may have the same user, and its record cannot be read: %w", name, c.Err))
				}
				if c.Err == nil && !c.Open() || rotator.IsWithdrawn(c.Err) {
					settled.Store(name, rotator.UserKey(c))
				}
				read[i] = c
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
		return slices.DeleteFunc(read, func(c rotator.Candidate) bool { return rotator.UserKey(c) != user }), nil
	}
}
