package rotator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/sync/errgroup"
)

const (
	maxTries   = 3               // of one tenant in one run
	maxStrikes = 3               // tenants in a row that came to nothing, until a server is left for the next run
	maxAsked   = 5 * time.Minute // the longest Retry-After that a run waits for
)

// job is one tenant to be rotated or finished.
type job struct {
	*Decision
	tries     int // that met a fault
	attempted bool
	result    Result // of the last attempt
}

// lane is the queue of one Mailu server. It is the canary and the circuit
// breaker in one: a lane on trial sends one tenant at a time, alone, until one
// succeeds; then it opens to its full width. Any fault puts it back on trial,
// with a growing pause before each. Faults of a single tenant neither open
// nor close it.
type lane struct {
	*run
	origin   Origin
	width    int
	pauses   *backoff.ExponentialBackOff
	patience time.Time // for the claims of other processes

	mu      sync.Mutex // guards what follows
	queue   []*job
	claimed []*job // another process is at them
	trial   bool
	strikes int
	fault   error // the last one, not yet paused for
	stopped error // why nothing more is sent in this run
}

func newLane(r *run, origin Origin, width int, jobs []*job) *lane {
	pauses := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(time.Second), backoff.WithMultiplier(2), backoff.WithRandomizationFactor(0.5),
		backoff.WithMaxInterval(time.Minute), backoff.WithMaxElapsedTime(0))
	return &lane{run: r, origin: origin, width: width, pauses: pauses, queue: jobs, trial: r.Canary}
}

// laneWidth is twice the server's requests: while one rotation waits for Mailu the
// next derives its key and talks to Vault.
func laneWidth(server Server) int { return 2 * server.MaxConcurrent() }

// process works the queue off and returns when nothing is in flight any more.
// What it could not begin stays not done.
func (l *lane) process(ctx context.Context) {
	for l.stopped == nil && ctx.Err() == nil {
		switch {
		case l.fault != nil:
			l.pause(ctx)
		case len(l.queue) > 0 && l.trial:
			l.work(ctx, 1, 1)
		case len(l.queue) > 0:
			l.work(ctx, l.width, len(l.queue))
		case len(l.claimed) > 0 && l.patient():
			_ = l.clock.Sleep(ctx, l.pauses.NextBackOff())
			l.queue, l.claimed = l.claimed, nil
		default:
			return
		}
	}
}

// patient bounds the wait for other processes' claims by the time that one of
// ours would stand.
func (l *lane) patient() bool {
	now := l.clock.Now()
	if l.patience.IsZero() {
		l.patience = now.Add(l.ClaimTTL + time.Second)
	}
	return now.Before(l.patience)
}

// work takes up to n jobs with so many workers, and fewer when the lane goes on
// trial meanwhile.
func (l *lane) work(ctx context.Context, workers, n int) {
	var group errgroup.Group
	for range min(workers, n) {
		group.Go(func() error {
			for l.one(ctx, &n) {
			}
			return nil
		})
	}
	_ = group.Wait() // its functions return nil
}

// one takes the next job through an attempt; false ends the round. The run's
// slot comes before the job: what waits for one is still in the queue, oldest
// first, and stays there if the lane pauses or stops meanwhile.
func (l *lane) one(ctx context.Context, left *int) bool {
	if l.host.workers.take(ctx, unbegun) != nil {
		return false
	}
	defer l.host.workers.release()
	j := l.next(ctx, left)
	if j == nil {
		return false
	}
	l.settle(j, l.attempt(ctx, j))
	return true
}

// next takes the first job off the queue; nil ends the round.
func (l *lane) next(ctx context.Context, left *int) *job {
	l.mu.Lock()
	defer l.mu.Unlock()
	if *left == 0 || len(l.queue) == 0 || l.fault != nil || l.stopped != nil || ctx.Err() != nil {
		return nil
	}
	*left--
	j := l.queue[0]
	l.queue = l.queue[1:]
	return j
}

// settle draws the conclusions from one attempt, for the job and for the lane.
func (l *lane) settle(j *job, result Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	j.result, j.attempted = result, true
	switch class(result) {
	case succeeded:
		l.trial, l.strikes = false, 0
		l.pauses.Reset()
	case elsewhere:
		l.claimed = append(l.claimed, j)
		return
	case serverDead:
		l.stop(result.Err)
	case doubtful:
		l.trial = true
		l.strike(result.Err)
	case faulty:
		l.fault, l.trial = result.Err, true
		if j.tries++; j.tries < maxTries {
			l.queue = append([]*job{j}, l.queue...)
			return
		}
		l.strike(result.Err)
	}
	l.report(j)
}

// strike counts a tenant that came to nothing for a reason that may be the
// server's.
func (l *lane) strike(err error) {
	if l.strikes++; l.strikes >= maxStrikes {
		l.stop(err)
	}
}

func (l *lane) stop(err error) {
	if l.stopped == nil {
		l.stopped = err
		l.Observe.observe(Event{Name: ServerStopped, Origin: l.origin, Count: len(l.queue), Err: err})
	}
}

// pause waits before the next trial, at least as long as the server asked.
func (l *lane) pause(ctx context.Context) {
	wait := l.pauses.NextBackOff()
	var limited *RateLimitedError
	if errors.As(l.fault, &limited) {
		wait = max(wait, limited.After)
	}
	if wait > maxAsked {
		l.stop(fmt.Errorf("asked for a pause of %s: %w", wait, l.fault))
		return
	}
	l.Observe.observe(Event{Name: ServerPaused, Origin: l.origin, Wait: wait, Err: l.fault})
	_ = l.clock.Sleep(ctx, wait) // the loop sees the context
	l.fault = nil
}

// conclude settles what the lane leaves behind.
func (l *lane) conclude(ctx context.Context) {
	for _, j := range append(l.queue, l.claimed...) {
		switch {
		case j.attempted: // its last result stands
		case ctx.Err() != nil:
			j.result = Result{Credential: j.Credential, Outcome: Deferred, Err: errInterrupted}
		default:
			j.result = Result{Credential: j.Credential, Outcome: Blocked, Err: fmt.Errorf("not begun, since its server fails: %w", l.stopped)}
		}
		l.report(j)
	}
}

func (l *lane) report(j *job) {
	after := Candidate{Name: j.Name, Credential: j.result.Credential}
	if errors.Is(j.result.Err, ErrMalformed) || errors.Is(j.result.Err, ErrAbsent) {
		after.Err = j.result.Err
	}
	status := StatusOf(l.clock.Now(), after, 1)
	l.Observe.observe(Event{
		Name: TenantDone, Tenant: j.Name, Origin: l.origin, Rotation: j.result.Rotation,
		Outcome: j.result.Outcome, Status: &status, Err: j.result.Err,
	})
}

// verdict is what an attempt says about the lane.
type verdict int

const (
	tenantOnly verdict = iota // nothing
	succeeded
	faulty     // something between here and there does not work at the moment
	doubtful   // trying again would not help; it may be this tenant or all
	serverDead // nothing more may be sent there in this run
	elsewhere  // another process is at it
)

func class(r Result) verdict {
	switch {
	case r.Outcome == Rotated || r.Outcome == Finished || r.Outcome == Added:
		return succeeded
	case r.Outcome == Claimed:
		return elsewhere
	case errors.Is(r.Err, ErrServerUnusable):
		return serverDead
	case errors.Is(r.Err, ErrUnknownUser): // though asking for its hash proves nothing either
		return tenantOnly
	case errors.Is(r.Err, ErrUnverifiable) || errors.Is(r.Err, ErrForbidden) || errors.Is(r.Err, ErrIntercepted):
		return doubtful
	case permanent(r):
		return tenantOnly
	}
	return faulty
}

// permanent tells the results that trying again in this run would not change.
func permanent(r Result) bool {
	switch r.Outcome {
	case Fresh, Refused, Stuck, Deferred:
		return true
	}
	for _, lasting := range []error{ErrRefused, ErrAbsent, ErrMalformed, ErrOriginNotListed, errUnreadable, errNotAlone, errImproper} {
		if errors.Is(r.Err, lasting) {
			return true
		}
	}
	return false
}
