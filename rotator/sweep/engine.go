package sweep

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// Engine has the plan of a run carried out by other processes, its workers, on this host
// and on others (package internal/cluster). Without an engine the process that plans
// also does the work.
//
// The workers decide again about each tenant, from its record as it is then, so an
// engine may lose an assignment, or deliver it twice, and nothing is rotated twice.
type Engine interface {
	// Serves returns nil if some worker lists the origin, else an error that is
	// [ErrNoWorker]. It may wait for workers that have not announced themselves yet.
	Serves(ctx context.Context, origin rotator.Origin) error
	// Execute hands out the assignments, each server's in their order, and calls settled
	// for each result, one at a time; a tenant may have several. It returns when the
	// workers have done with all. When ctx ends it withdraws what no worker has begun, and
	// returns when the rest has ended. An error means that some assignments have no result;
	// it is [ErrWithdrawn] if another process has withdrawn the run.
	Execute(ctx context.Context, keys *crypto.Keyring, order Order, assignments []Assignment, settled func(Settled)) error
}

// Running is a run that another process has planned.
type Running interface {
	// Assignments returns what the workers were given.
	Assignments(ctx context.Context, keys *crypto.Keyring) (Order, []Assignment, error)
	// Follow calls settled for each result, as Engine.Execute does. It withdraws nothing.
	Follow(ctx context.Context, keys *crypto.Keyring, settled func(Settled)) error
}

// ErrWithdrawn: nothing more of the run begins.
var ErrWithdrawn = errors.New("not begun: the run was withdrawn; the next one goes on")

// ErrNoWorker: no process that works for the cluster lists the server.
var ErrNoWorker = errors.New("no worker lists this server: start one whose mailu.servers has it, or use --local on a host that reaches it")

// Order is the part of a run's selection that workers need to decide about a tenant.
// The tags are those of a batch's message.
type Order struct {
	All           bool              `json:"all,omitempty"`
	PendingOnly   bool              `json:"pending_only,omitempty"`
	RotatedBefore time.Time         `json:"rotated_before,omitzero"`
	NewestKey     crypto.KeyVersion `json:"newest_key"`     // as in the selection: the same for all workers
	Until         time.Time         `json:"until,omitzero"` // no rotation starts at or after it; zero: no limit
}

// Assignment is one tenant that a run is to rotate or finish.
type Assignment struct {
	Tenant rotator.TenantID `json:"tenant"`
	Origin rotator.Origin   `json:"origin"`
	// User is a fingerprint of the user at the time of the plan: only for that one the
	// planner knows that no other tenant names it.
	User string `json:"user"`
	// Login marks the first of each server: only its batch may try a real login.
	Login bool `json:"login,omitempty"`
}

// Batch is a part of a run for one worker: tenants of one server, in the order of the plan.
type Batch struct {
	Order
	Origin      rotator.Origin `json:"origin"`
	Assignments []Assignment   `json:"assignments"`
}

// Settled is a worker's result for one tenant. It holds no secret. The tags are those of
// its message.
type Settled struct {
	Tenant      rotator.TenantID   `json:"tenant"`
	User        string             `json:"user,omitempty"` // empty, like the other fields of the record, if that was not read
	Origin      rotator.Origin     `json:"origin"`
	LastRotated string             `json:"last_rotated,omitempty"`
	Policy      string             `json:"policy,omitempty"`
	Expires     time.Time          `json:"expires,omitzero"`
	Pending     *Claimed           `json:"pending,omitempty"` // of a half-finished rotation
	Rotation    string             `json:"rotation,omitempty"`
	Outcome     rotator.Outcome    `json:"outcome"`
	Reason      string             `json:"reason,omitempty"`
	Login       rotator.LoginState `json:"login,omitempty"`
}

// Claimed is the part of a result about a pending password.
type Claimed struct {
	rotator.Claim
	LastRotated string `json:"last_rotated"`
}

// fingerprint identifies a record's user among workers with different configurations.
func fingerprint(c rotator.Credential) string {
	sum := sha256.Sum256([]byte(string(c.Origin) + " " + string(c.Address())))
	return hex.EncodeToString(sum[:8])
}

// dispatch hands the jobs to the engine's workers and takes in their results.
func (r *run) dispatch(ctx context.Context, jobs []*job) {
	order := Order{All: r.sel.All, PendingOnly: r.sel.PendingOnly, RotatedBefore: r.sel.RotatedBefore, NewestKey: r.sel.NewestKey, Until: r.until}
	assignments := make([]Assignment, len(jobs))
	begun := map[rotator.Origin]bool{}
	for i, j := range jobs {
		assignments[i] = Assignment{
			Tenant: j.Credential.Tenant, Origin: j.Credential.Origin, User: fingerprint(j.Credential), Login: !begun[j.Credential.Origin],
		}
		begun[j.Credential.Origin] = true
	}
	if len(jobs) == 0 {
		return
	}
	r.follow(ctx, jobs, errInterrupted, func(settled func(Settled)) error {
		return r.Engine.Execute(ctx, r.keys, order, assignments, settled)
	})
}

// follow takes the results of jobs that workers do. Jobs that end without one are
// blocked, or deferred if the run was withdrawn, or if ctx has ended, which interrupted
// explains.
func (r *run) follow(ctx context.Context, jobs []*job, interrupted error, results func(settled func(Settled)) error) {
	byTenant := make(map[rotator.TenantID]*job, len(jobs))
	for _, j := range jobs {
		byTenant[j.Credential.Tenant] = j
	}
	err := results(func(s Settled) {
		if j := byTenant[s.Tenant]; j != nil {
			r.takeIn(j, s)
		}
	})
	for _, j := range jobs {
		switch {
		case j.attempted:
		case ctx.Err() != nil:
			r.takeIn(j, Settled{Outcome: rotator.Deferred, Reason: interrupted.Error()})
		case errors.Is(err, ErrWithdrawn):
			r.takeIn(j, Settled{Outcome: rotator.Deferred, Reason: err.Error()})
		default:
			r.takeIn(j, Settled{Outcome: rotator.Blocked, Reason: cmp.Or(err, errNoResult).Error()})
		}
	}
}

// Reasons why there is no result.
var (
	errNoResult    = errors.New("no worker reported a result: the next run sees what was done")
	errNotFollowed = errors.New("no result so far: the workers go on, and --attach follows them again")
)

// takeIn records a result. A batch that is delivered again has the tenants that are done
// once more, as fresh ones, or as not begun if its run ends meanwhile: their result stays.
func (r *run) takeIn(j *job, s Settled) {
	c := j.Credential
	if s.Outcome == rotator.Fresh && s.LastRotated != "" && c.LastRotated != "" && s.LastRotated != c.LastRotated {
		s.Outcome, s.Reason = rotator.Rotated, "found rotated at "+s.LastRotated
	}
	again := j.attempted
	if again && (succeeded == classify(j.result) || slices.Contains([]rotator.Outcome{rotator.Fresh, rotator.Deferred, rotator.Blocked}, s.Outcome)) {
		return
	}
	j.attempted = true
	c.Username, c.Origin = cmp.Or(s.User, c.Username), cmp.Or(s.Origin, c.Origin)
	c.LastRotated, c.Pending, c.Expires = cmp.Or(s.LastRotated, c.LastRotated), nil, s.Expires
	if policy, err := rotator.ParsePolicy(s.Policy); err == nil {
		c.Policy = policy.WithSpread(r.DefaultPolicy.Spread())
	}
	if s.Pending != nil {
		c.Pending = &rotator.Pending{LastRotated: s.Pending.LastRotated, Claim: s.Pending.Claim}
	}
	j.result = rotator.Result{Rotation: s.Rotation, Credential: c, Outcome: s.Outcome, Reason: s.Reason, Login: s.Login}
	if s.Reason != "" && s.Outcome != rotator.Rotated && s.Outcome != rotator.Finished {
		j.result.Err = errors.New(s.Reason)
	}
	if !again {
		r.notify(rotator.TenantReported, j)
	}
}

// Attach follows a run that another process has planned, and reports on the tenants
// that its workers were given.
func (s *Sweep) Attach(ctx context.Context, running Running) (Report, error) {
	o := operation{
		started: rotator.SweepStarted, planned: rotator.SweepPlanned, finished: rotator.SweepFinished, interrupted: rotator.SweepInterrupted,
		process: func(r *run, ctx context.Context, jobs []*job) {
			r.follow(ctx, jobs, errNotFollowed, func(settled func(Settled)) error { return running.Follow(ctx, r.keys, settled) })
		},
	}
	return s.execute(ctx, o, func(r *run) ([]Decision, error) {
		order, assignments, err := running.Assignments(ctx, r.keys)
		if err != nil {
			return nil, err
		}
		r.sel.RotatedBefore = order.RotatedBefore
		decisions := make([]Decision, len(assignments))
		for i, a := range assignments {
			decisions[i] = Decision{Action: rotator.Rotate, Outcome: rotator.Fresh, Candidate: rotator.Candidate{
				Name: string(a.Tenant), Credential: rotator.Credential{Tenant: a.Tenant, Origin: a.Origin},
			}}
		}
		return decisions, nil
	})
}

// WorkSession is what the batches of one worker share: the master keys, the guarded clock,
// and the limit of what is computed at a time.
type WorkSession struct {
	clock     rotator.Clock
	keys      *crypto.Keyring
	processor processor
}

// OpenWork compares the clocks and reads the master keys. The caller must close the
// session.
func (s *Sweep) OpenWork(ctx context.Context) (*WorkSession, error) {
	clock, err := rotator.GuardClock(ctx, s.Clock, s.Time)
	if err != nil {
		return nil, err
	}
	keys, err := s.masterKeys(ctx)
	if err != nil {
		return nil, err
	}
	return &WorkSession{clock: clock, keys: keys, processor: newProcessor(s.Cores)}, nil
}

// Keys opens and seals the messages about batches. The session wipes them.
func (w *WorkSession) Keys() *crypto.Keyring { return w.keys }

// Idle is the number of this host's cores that compute nothing: a worker that is as busy
// as it can be leaves the next batch to others.
func (w *WorkSession) Idle() int { return w.processor.idle() }

// Close wipes the keys. No batch may be under way.
func (w *WorkSession) Close() { w.keys.Wipe() }

// Work takes a batch through its server's queue, as [Sweep.Run] does with its own plan:
// with a canary, the breaker and retries. It calls report for each tenant that it is
// done with, possibly concurrently. While held returns false it begins nothing more, and
// then leaves out the tenants that it did not begin: another worker has the batch.
//
// The error is a [GivenUpError] if nothing more is to be sent to the server in this run;
// else nothing was begun, and another worker may do better.
func (s *Sweep) Work(ctx context.Context, w *WorkSession, b Batch, held func() bool, report func(Settled)) error {
	server, err := s.Mailu.Server(b.Origin)
	if err != nil {
		return err
	}
	r := &run{
		Sweep: s, clock: w.clock, store: &storeHealth{}, until: b.Until, keys: w.keys, held: held, settled: report,
		sel: Selection{All: b.All, PendingOnly: b.PendingOnly, RotatedBefore: b.RotatedBefore, NewestKey: b.NewestKey},
	}
	r.rotator = s.newRotator(w.clock, w.keys, w.processor)
	r.rotator.Rivals = r.namesakes(nil)
	if slices.ContainsFunc(b.Assignments, func(a Assignment) bool { return a.Login }) {
		r.rotator.LoginTurn = newLogins(runLogins, nil).turn
	}
	jobs := make([]*job, len(b.Assignments))
	for i, a := range b.Assignments {
		jobs[i] = &job{assigned: &a, Decision: &Decision{Action: rotator.Rotate, Candidate: rotator.Candidate{
			Name: string(a.Tenant), Credential: rotator.Credential{Tenant: a.Tenant, Origin: b.Origin},
		}}}
	}
	q := newQueue(r, b.Origin, 3*server.MaxConcurrent(), jobs)
	q.process(ctx)
	q.finish(ctx)
	if q.givenUp != nil {
		return &GivenUpError{q.givenUp}
	}
	return nil
}

// GivenUpError says why nothing more is to be sent to a server in this run.
type GivenUpError struct{ Err error }

func (e *GivenUpError) Error() string { return e.Err.Error() }

func (e *GivenUpError) Unwrap() error { return e.Err }

// decideAgain reads the record of an assignment and decides about it. False means that
// nothing is to be done, as the result says.
func (r *run) decideAgain(ctx context.Context, j *job) (rotator.Result, bool) {
	c := r.candidate(ctx, j.Name)
	d := decide(r.clock.Now(), c, r.sel, 1)
	switch {
	case c.Unread():
		return rotator.Result{Credential: c.Credential, Outcome: d.Outcome, Err: rotator.StoreError(c.Err)}, false
	case d.Action != rotator.Leave && fingerprint(c.Credential) != j.assigned.User:
		d.leave(rotator.Deferred, errReplanned)
	}
	if d.Action == rotator.Leave {
		return rotator.Result{Credential: c.Credential, Outcome: d.Outcome, Err: cmp.Or(d.Err, errors.New(d.Reason))}, false
	}
	j.Credential, j.Action, j.assigned = d.Credential, d.Action, nil
	return rotator.Result{}, true
}

// errReplanned: the planner has seen that no other tenant has the former user.
var errReplanned = errors.New("not begun: its user or server changed after the plan; the next run goes by the record as it is now")

// settled is the job's result as a message.
func (j *job) settled() Settled {
	c := j.result.Credential
	s := Settled{
		Tenant: j.Credential.Tenant, User: c.Username, Origin: j.Credential.Origin, LastRotated: c.LastRotated, Policy: c.Policy.String(),
		Expires: c.Expires, Rotation: j.result.Rotation, Outcome: j.result.Outcome, Reason: j.result.Reason, Login: j.result.Login,
	}
	if j.result.Err != nil {
		s.Reason = j.result.Err.Error()
	}
	if c.Pending != nil {
		s.Pending = &Claimed{Claim: c.Pending.Claim, LastRotated: c.Pending.LastRotated}
	}
	return s
}
