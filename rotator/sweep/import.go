package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"mailu-rotator/rotator"
)

// Addition requests that a tenant be added.
type Addition struct {
	Tenant     rotator.TenantID // "": a new id
	Username   string           // the user in Mailu, taken over or created
	WebmailURL string
	Policy     string // "": none is written, and the default applies
	Line       int    // of the requesting file, from 1; 0: no file
}

// where prefixes an addition's error with its place.
func (a Addition) where(err error) error {
	if a.Line == 0 {
		return err
	}
	columns := map[string]string{rotator.FieldUsername: columnUser, rotator.FieldPolicy: columnPolicy}
	return fmt.Errorf("line %d: %w", a.Line, rotator.RenameFields(err, columns))
}

// Add adds tenants, or finishes half-added ones; it does not change existing tenants.
// It takes them through their servers' queues as a sweep does. first says that there may
// be no tenant yet: otherwise an empty prefix is a mistake in the configuration.
//
// An error means that nothing was started: an addition is invalid, or another tenant
// may have the same user. The result of each addition is in the report, in the given
// order.
//
// A dry run also asks Mailu about the users, unless registry is nil. It leaves out ids
// that Add would create.
func (s *Sweep) Add(ctx context.Context, registry rotator.Creator, additions []Addition, first bool) (Report, error) {
	o := operation{started: rotator.AdditionStarted, planned: rotator.AdditionPlanned, finished: rotator.AdditionFinished, invalid: s.check(additions), process: (*run).processQueues}
	return s.execute(ctx, o, func(r *run) ([]Decision, error) {
		fleet, err := r.others(ctx, first)
		if err != nil {
			return nil, err
		}
		r.creator = registry
		plan := r.decideAdditions(fleet, additions)
		switch {
		case !s.DryRun:
			nameAdditions(plan, fleet)
			r.rotator.Rivals = r.namesakes(fleet)
		case registry != nil:
			r.askUsers(ctx, plan)
		}
		return plan, nil
	})
}

// nameAdditions assigns ids to additions without one: the first id for the user's
// address that no record has. A record may have it that formerly named the user, that
// is deleted, or whose user is on another Mailu.
func nameAdditions(plan []Decision, fleet []rotator.Candidate) {
	taken := make(map[string]bool, len(fleet)+len(plan))
	for _, c := range fleet {
		taken[c.Name] = true
	}
	for _, d := range plan {
		taken[d.Name] = true
	}
	for i := range plan {
		d := &plan[i]
		if d.Action != rotator.Add || d.Name != "" {
			continue
		}
		for n := 0; d.Name == "" || taken[d.Name]; n++ {
			d.Credential.Tenant = rotator.NewTenantID(d.Credential.Address(), n)
			d.Name = string(d.Credential.Tenant)
		}
		taken[d.Name] = true
	}
}

// check finds all errors of the additions themselves, a line each.
func (s *Sweep) check(additions []Addition) error {
	var wrong []error
	note := func(a Addition, err error) {
		if err != nil {
			wrong = append(wrong, a.where(err))
		}
	}
	seen := map[string]Addition{}
	once := func(a Addition, key, what string) {
		if former, found := seen[key]; found {
			note(a, fmt.Errorf("%s is on line %d already: remove one of the two", what, former.Line))
		} else {
			seen[key] = a
		}
	}
	for _, a := range additions {
		asked, invalid := s.asked(a, s.Clock.Now())
		note(a, invalid)
		if a.Tenant != "" {
			_, err := rotator.ParseTenantID(string(a.Tenant))
			note(a, err)
			once(a, "tenant "+string(a.Tenant), "tenant "+string(a.Tenant))
		}
		if c := asked.Credential; invalid == nil {
			_, err := s.Mailu.Server(c.Origin)
			note(a, err)
			once(a, "user "+rotator.UserKey(asked), fmt.Sprintf("user %s on %s", c.Username, c.Origin))
		}
	}
	return errors.Join(wrong...)
}

// asked is the tenant as it will be written first, without the pending password. It
// fails as [rotator.ParseCredential] does.
func (s *Sweep) asked(a Addition, now time.Time) (rotator.Candidate, error) {
	c, err := rotator.NewCredential(a.Tenant, a.Username, a.WebmailURL, a.Policy, now, s.DefaultPolicy)
	return s.candidateOf(c), err
}

func (s *Sweep) candidateOf(c rotator.Credential) rotator.Candidate {
	return rotator.Candidate{Name: string(c.Tenant), Credential: c, API: s.Mailu.API(c.Origin)}
}

// others reads the whole fleet. A record that cannot be read may name any user, unless
// the operator excludes that: an addition, unlike a rotation, can wait.
func (r *run) others(ctx context.Context, first bool) ([]rotator.Candidate, error) {
	candidates, err := r.scan(ctx, everything)
	switch {
	case errors.Is(err, rotator.ErrNoTenants) && first:
		return nil, nil
	case errors.Is(err, rotator.ErrNoTenants):
		return nil, fmt.Errorf("%w; if this is to be the first tenant, say so with --first", err)
	case err != nil:
		return nil, err
	}
	var unknown []error
	for _, c := range candidates {
		if c.Unread() && !slices.Contains(r.Unreadable, rotator.TenantID(c.Name)) {
			unknown = append(unknown, fmt.Errorf("tenant %s may have the same user, and its record cannot be read: %w", c.Name, c.Err))
		}
	}
	if len(unknown) > 0 {
		unknown = append(unknown, errors.New("nothing was added: make the records readable, or remove them (`vault kv metadata delete`), or name each with --unreadable TENANT if you know that it has none of the users to be added"))
	}
	return candidates, errors.Join(unknown...)
}

// decideAdditions decides about each addition, from records alone.
func (r *run) decideAdditions(fleet []rotator.Candidate, additions []Addition) []Decision {
	byUser, byName := map[string][]rotator.Candidate{}, map[string]rotator.Candidate{}
	for _, c := range fleet {
		byName[c.Name] = c
		if key := rotator.UserKey(c); key != "" {
			byUser[key] = append(byUser[key], c)
		}
	}
	plan := make([]Decision, len(additions))
	for i, a := range additions {
		asked, _ := r.asked(a, r.clock.Now()) // it has been checked
		plan[i] = decideAddition(asked, byUser[rotator.UserKey(asked)], byName[asked.Name])
	}
	return plan
}

// decideAddition compares the request with the tenants that have the same user, and
// with the record of that name.
func decideAddition(asked rotator.Candidate, same []rotator.Candidate, named rotator.Candidate) Decision {
	refused := func(format string, args ...any) Decision {
		return Decision{Candidate: asked, Outcome: rotator.Invalid, Reason: fmt.Sprintf(format, args...)}
	}
	if same = rotator.Contenders(same); len(same) > 1 {
		return refused("%s", rotator.DuplicateUser(asked, len(same)))
	}
	if len(same) == 0 {
		switch {
		case named.Name == "" || asked.Name == "":
			return Decision{Candidate: asked, Action: rotator.Add, Reason: rotator.ToBeAdded}
		case rotator.IsWithdrawn(named.Err):
			return refused("%s, or leave the id out", named.Err)
		case errors.Is(named.Err, rotator.ErrAbsent):
			return refused("its record was deleted: bring it back (`vault kv undelete`), or remove what is left of it (`vault kv metadata delete`): %s", named.Err)
		case named.Err != nil:
			return refused("there is a record of that id: %s", named.Err)
		}
		return refused("its record names another user, %s on %s: leave the id out, or give another one", named.Credential.Username, named.Credential.Origin)
	}
	known := same[0]
	switch {
	case asked.Name != "" && asked.Name != known.Name:
		return refused("tenant %s has the user %s on %s already: they would lock each other out", known.Name, asked.Credential.Username, asked.Credential.Origin)
	case known.Err != nil:
		return refused("tenant %s has this user: %s", known.Name, known.Err)
	case !known.Credential.BeingAdded():
		return Decision{Candidate: known, Outcome: rotator.Fresh, Reason: known.Credential.AlreadyTenant(asked.Credential)}
	}
	asked.Name, asked.Credential.Tenant = known.Name, known.Credential.Tenant
	return Decision{Candidate: asked, Action: rotator.Add, Reason: known.Credential.HalfFinished()}
}

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
	q.mu.Lock()
	closed := q.closed
	q.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		d.leave(rotator.Deferred, errInterrupted)
		return
	case closed != nil:
		d.leave(rotator.Blocked, closed)
		return
	}
	within, cancel := context.WithTimeout(ctx, q.ClaimTTL)
	defer cancel()
	plan, reason, err := rotator.ForeseeUser(within, q.server, q.creator, d.Credential, d.Reason)
	switch {
	case err != nil && ctx.Err() != nil:
		d.leave(rotator.Deferred, errInterrupted)
	case err != nil:
		d.leave(rotator.Failed, err)
	default:
		d.UserPlan, d.Reason = plan, reason
	}
	q.learn(err)
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
