package sweep

import (
	"cmp"
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// Reasons why a tenant was not begun.
var (
	errInterrupted = errors.New("not begun: the run was interrupted; the next one goes on")
	errWindowOver  = errors.New("not begun: the window is over, the next tick goes on")
)

// act has the plan's jobs processed and returns a row for each decision, in the plan's
// order. The event has the number of jobs.
func (r *run) act(ctx context.Context, plan []Decision, o operation) []Row {
	jobs := make([]*job, len(plan))
	var todo []*job
	for i := range plan {
		jobs[i] = &job{Decision: &plan[i]}
		if plan[i].Action == rotator.Leave {
			r.skip(plan[i])
		} else {
			todo = append(todo, jobs[i])
		}
	}
	r.Observe.Notify(rotator.Event{Name: o.planned, Count: len(todo)})
	if r.DryRun {
		for _, j := range todo {
			j.result = rotator.Result{Credential: j.Credential, Outcome: rotator.Planned}
		}
	} else {
		o.process(r, ctx, todo)
	}
	rows := make([]Row, len(jobs))
	for i, j := range jobs {
		rows[i] = r.row(j)
	}
	return rows
}

// processQueues takes the jobs through their servers' queues.
func (r *run) processQueues(ctx context.Context, jobs []*job) {
	perServer(jobs, func(j *job) rotator.Origin { return j.Credential.Origin }, func(origin rotator.Origin, jobs []*job) {
		server, err := r.Mailu.Server(origin)
		if err != nil {
			return // the plan has no such job
		}
		// As many tenants are with Mailu as it takes, as many are prepared and push next, and
		// for as many this host checks the hash. With fewer the server would wait for keys
		// that are derived after those checks.
		q := newQueue(r, origin, 3*server.MaxConcurrent(), jobs)
		q.process(ctx)
		q.finish(ctx)
	})
}

// perServer calls f concurrently for each server, with its tenants in their order.
func perServer[T any](all []T, originOf func(T) rotator.Origin, f func(rotator.Origin, []T)) {
	byOrigin := map[rotator.Origin][]T{}
	for _, one := range all {
		byOrigin[originOf(one)] = append(byOrigin[originOf(one)], one)
	}
	var group sync.WaitGroup
	for origin, tenants := range byOrigin {
		group.Go(func() { f(origin, tenants) })
	}
	group.Wait()
}

// parallel calls f for each number below n, up to limit at a time, in their order.
func parallel(limit, n int, f func(i int)) {
	var group errgroup.Group
	group.SetLimit(max(limit, 1))
	for i := range n {
		group.Go(func() error {
			f(i)
			return nil
		})
	}
	_ = group.Wait() // its functions return nil
}

// attempt takes one job through the protocol. A second attempt reads the record again
// and decides again.
func (r *run) attempt(ctx context.Context, j *job) rotator.Result {
	ctx, cancel := r.graceful(ctx)
	defer cancel()
	if j.assigned != nil {
		if result, wanted := r.decideAgain(ctx, j); !wanted {
			return result
		}
	}
	// A rotation that this run left half-finished is not a new one: it may be finished.
	if j.Action == rotator.Rotate && j.result.Outcome != rotator.Unfinished && !r.until.IsZero() && !r.clock.Now().Before(r.until) {
		return rotator.Result{Credential: j.Credential, Outcome: rotator.Deferred, Err: errWindowOver}
	}
	if j.Action == rotator.Add {
		return r.rotator.Add(ctx, r.creator, j.Credential)
	}
	judge := func(c rotator.Credential) (rotator.Action, string) { return judge(r.clock.Now(), c, r.sel) }
	insist := r.sel.named(j.Credential.Tenant)
	if j.attempted {
		return r.rotator.Retry(ctx, j.Credential, j.result.Outcome, judge, insist)
	}
	return r.rotator.Rotate(ctx, j.Credential, judge, insist)
}

// graceful returns a context that ends the grace time after parent.
func (r *run) graceful(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		if r.clock.Sleep(ctx, r.Grace) == nil {
			cancel()
		}
	})
	return ctx, func() { stop(); cancel() }
}

// skip reports tenants that are skipped although somebody may expect otherwise.
func (r *run) skip(d Decision) {
	if d.Outcome.Failure() || d.Outcome == rotator.Ignored {
		r.Observe.Notify(rotator.Event{Name: rotator.TenantSkipped, Tenant: d.Name, User: d.Credential.Username, Origin: d.Credential.Origin, Outcome: d.Outcome, Err: errors.New(d.Reason)})
	}
}

func (r *run) report(j *job) {
	r.notify(rotator.TenantDone, j)
	if r.settled != nil {
		r.settled(j.settled())
	}
}

func (r *run) notify(name rotator.EventName, j *job) {
	after := rotator.Candidate{Name: j.Name, Credential: j.result.Credential}
	if errors.Is(j.result.Err, rotator.ErrMalformed) || errors.Is(j.result.Err, rotator.ErrAbsent) {
		after.Err, after.Ignored = j.result.Err, rotator.IsWithdrawn(j.result.Err)
	}
	status := rotator.StatusOf(r.clock.Now(), after, 1)
	r.Observe.Notify(rotator.Event{
		Name: name, Tenant: j.Name, User: cmp.Or(j.Credential.Username, j.result.Credential.Username), Origin: j.Credential.Origin, Rotation: j.result.Rotation,
		Outcome: j.result.Outcome, Status: &status, Err: j.result.Err,
	})
}

func (r *run) row(j *job) Row {
	d := *j.Decision
	if d.Action != rotator.Leave {
		d.Credential, d.Outcome, d.Reason = j.result.Credential, j.result.Outcome, cmp.Or(j.result.Reason, d.Reason)
	}
	if j.result.Err != nil {
		d.Reason = j.result.Err.Error()
	}
	row := d.row(r.clock.Now())
	row.Login = j.result.Login
	return row
}

// processor limits what a run computes at a time to the processor's cores: more would
// not finish sooner. Passwords that Mailu may already have come first, so that the time
// between push and commit stays short: only as many seals and opens as there are cores
// wait for a core at a time, so a check of a hash waits for these only.
//
// It is the only limit here. The other resources limit themselves: the store its
// concurrent requests, a Mailu server its requests and its push slots.
type processor struct{ cores, keys chan struct{} }

func newProcessor(cores int) processor {
	return processor{cores: make(chan struct{}, cores), keys: make(chan struct{}, cores)}
}

// idle is the number of cores that compute nothing. There are none while something waits
// for one.
func (p processor) idle() int { return cap(p.cores) - len(p.cores) }

// use runs f on a core.
func (p processor) use(f func()) {
	p.cores <- struct{}{}
	defer func() { <-p.cores }()
	f()
}

// limitedEnvelope is an [Envelope] whose key derivations use the processor.
type limitedEnvelope struct {
	rotator.Envelope
	processor
}

func (l limitedEnvelope) derive(f func()) {
	l.keys <- struct{}{}
	defer func() { <-l.keys }()
	l.use(f)
}

// Seal implements [Envelope].
func (l limitedEnvelope) Seal(to crypto.Binding, password crypto.Secret) (sealed crypto.SealedPassword, version crypto.KeyVersion, err error) {
	l.derive(func() { sealed, version, err = l.Envelope.Seal(to, password) })
	return sealed, version, err
}

// Open implements [Envelope].
func (l limitedEnvelope) Open(version crypto.KeyVersion, from crypto.Binding, sealed crypto.SealedPassword) (password crypto.Secret, err error) {
	l.derive(func() { password, err = l.Envelope.Open(version, from, sealed) })
	return password, err
}

// limitedMailu is a [Mailu] whose hashes are checked on the processor.
type limitedMailu struct {
	rotator.Mailu
	processor
}

// Server implements [Mailu].
func (l limitedMailu) Server(origin rotator.Origin) (rotator.Server, error) {
	server, err := l.Mailu.Server(origin)
	if err != nil {
		return nil, err
	}
	return limitedServer{Server: server, processor: l.processor}, nil
}

type limitedServer struct {
	rotator.Server
	processor
}

// Verify implements [Server].
func (l limitedServer) Verify(ctx context.Context, username string, password crypto.Secret) (*rotator.HashCheck, error) {
	check, err := l.Server.Verify(ctx, username, password)
	if err != nil || check == nil {
		return nil, err
	}
	return &rotator.HashCheck{Hash: check.Hash, Check: func() (match rotator.Verification, err error) {
		l.use(func() { match, err = check.Check() })
		return match, err
	}}, nil
}
