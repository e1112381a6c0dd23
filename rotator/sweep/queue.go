package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mailu-rotator/rotator"
)

const (
	maxTries    = 3               // of one tenant in one run
	maxFaults   = 9               // consecutive, until the run skips a server; see weight
	maxTorn     = 3               // tenants left half-finished by a server without any success
	maxRefusals = 5               // records that Vault refused, without any success in this run
	maxAsked    = 5 * time.Minute // the longest Retry-After that a run waits for
)

// job is one tenant to rotate or finish.
type job struct {
	*Decision
	assigned  *Assignment // of a batch, until its record was read: the Decision knows only the id
	tries     int         // with a fault
	attempted bool
	alone     bool           // the current attempt is alone
	proven    int            // the successes of its queue at its last fault
	result    rotator.Result // of the last attempt
}

// queue holds the tenants of one Mailu server. It combines the canary and the circuit
// breaker: a half-open queue sends one tenant at a time, alone, until one succeeds; then
// it opens to its full width. Any fault makes it half-open again, with a growing pause
// before each attempt.
//
// A fault may be the server's or the tenant's; the next success decides. So the next
// attempt takes a tenant from elsewhere in the queue, and the one that failed goes to
// the end. The server is given up when tenants from different places have failed
// consecutively without a success in between. Faults of a single tenant, and those of
// the store, neither open nor close the queue.
type queue struct {
	*run
	origin    rotator.Origin
	width     int
	begun     time.Time
	pauses    *backoff
	claimWait time.Time // how long to wait for the claims of other processes

	mu       sync.Mutex // guards the fields below
	waiting  []*job     // not tried yet, or only while the store was down
	again    []*job     // to retry, after the others
	claimed  []*job     // other processes are working on them
	halfOpen bool
	proven   int    // successes so far
	faults   int    // since the last success, by weight
	torn     int    // tenants left half-finished before the first success
	refusals int    // since the last success: records that the store did not accept
	probes   uint64 // since the last success: tenants taken from elsewhere
	fault    error  // the last fault, not yet paused for
	own      bool   // that fault is a tenant's own: others have succeeded since its first
	cause    error  // the last fault that counts
	stopped  error  // why nothing more is started in this run
	givenUp  error  // the same, if the server is the cause
}

func newQueue(r *run, origin rotator.Origin, width int, jobs []*job) *queue {
	return &queue{
		run: r, origin: origin, width: width, begun: r.clock.Now(), waiting: jobs, halfOpen: r.Canary,
		pauses: newBackoff(time.Second, time.Minute),
	}
}

// process works through the queue, as far as it can, and returns when nothing is in
// flight.
func (q *queue) process(ctx context.Context) {
	for q.mayBegin(ctx) {
		waiting := len(q.waiting) + len(q.again)
		switch {
		case q.fault != nil:
			q.pause(ctx)
		case waiting > 0 && q.halfOpen:
			q.work(ctx, 1, 1)
		case waiting > 0:
			q.work(ctx, q.width, waiting)
		case len(q.claimed) > 0 && q.waitsForClaims():
			_ = q.clock.Sleep(ctx, q.pauses.next())
			q.waiting, q.claimed = q.claimed, nil
		default:
			return
		}
	}
}

// mayBegin is false if nothing more may be started in this run.
func (q *queue) mayBegin(ctx context.Context) bool {
	return q.stopped == nil && q.store.fault() == nil && ctx.Err() == nil && !q.lost()
}

// lost reports whether another worker may have this batch.
func (q *queue) lost() bool { return q.held != nil && !q.held() }

// waitsForClaims limits the wait for other processes' claims to the length of one of our own.
func (q *queue) waitsForClaims() bool {
	now := q.clock.Now()
	if q.claimWait.IsZero() {
		q.claimWait = now.Add(q.ClaimTTL + time.Second)
	}
	return now.Before(q.claimWait)
}

// work processes up to n jobs with that many workers, and fewer if the queue
// becomes half-open in between.
func (q *queue) work(ctx context.Context, workers, n int) {
	var group sync.WaitGroup
	for range min(workers, n) {
		group.Go(func() {
			for j := q.next(ctx, &n); j != nil; j = q.next(ctx, &n) {
				q.settle(j, q.attempt(ctx, j))
			}
		})
	}
	group.Wait()
}

// next takes a job from the queue; nil ends the round.
func (q *queue) next(ctx context.Context, left *int) *job {
	q.mu.Lock()
	defer q.mu.Unlock()
	if *left == 0 || q.fault != nil || !q.mayBegin(ctx) {
		return nil
	}
	*left--
	j := q.choose()
	if j != nil {
		j.alone = q.halfOpen
	}
	return j
}

// choose takes the first job of the queue. While it is doubtful whether the server
// works it takes tenants from elsewhere. Jobs whose password may be in Mailu but is not
// current are retried as soon as the server has shown that it works, or immediately if
// there are too many of them.
func (q *queue) choose() *job {
	doubtful := q.halfOpen && q.faults+q.refusals > 0
	unfinished := slices.IndexFunc(q.again, func(j *job) bool { return j.result.Outcome == rotator.Unfinished && j.proven < q.proven })
	switch {
	case unfinished >= 0 && !q.halfOpen:
		return take(&q.again, unfinished)
	case len(q.waiting) > 0 && !doubtful:
		return take(&q.waiting, 0)
	case len(q.waiting) > 0 && (q.proven > 0 || q.torn < maxTorn):
		return take(&q.waiting, q.elsewhere(len(q.waiting)))
	case len(q.again) > 0:
		return take(&q.again, 0)
	case len(q.waiting) > 0:
		q.stop(q.cause)
	}
	return nil
}

// elsewhere is a place in a queue of n: first the last one, since tenants that fail
// each time stay the oldest and are at the head, and then others, which differ in the
// next run.
func (q *queue) elsewhere(n int) int {
	q.probes++
	if q.probes == 1 {
		return n - 1
	}
	random := rand.New(rand.NewPCG(uint64(q.begun.UnixMilli()), q.probes))
	return random.IntN(n)
}

func take(from *[]*job, i int) *job {
	j := (*from)[i]
	*from = slices.Delete(*from, i, i+1)
	return j
}

// settle updates the job and the queue after one attempt.
func (q *queue) settle(j *job, result rotator.Result) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if j.attempted && result.Outcome == rotator.Deferred {
		q.report(j) // it failed before the window was over
		return
	}
	torn := result.Outcome == rotator.Unfinished && j.result.Outcome != rotator.Unfinished
	j.result, j.attempted = result, true
	switch classify(result) {
	case succeeded:
		q.halfOpen, q.faults, q.refusals, q.probes = false, 0, 0, 0
		q.proven++
		q.pauses.reset()
		q.store.works.Store(true)
	case elsewhere:
		q.claimed = append(q.claimed, j)
		return
	case serverDead:
		q.stop(result.Err)
	case storeDown:
		q.halfOpen = true
		if j.tries++; j.tries < maxTries {
			q.waiting = slices.Insert(q.waiting, 0, j)
			return
		}
		q.store.giveUp(result.Err)
	case storeFault:
		j.proven = q.proven
		if q.refusals++; q.refusals >= maxRefusals && !q.store.works.Load() {
			q.stopped = fmt.Errorf("not begun, since Vault did not take the records of %d others: %w", q.refusals, result.Err)
		}
		if !errors.Is(result.Err, rotator.ErrForbidden) && q.retry(j) {
			return
		}
	case doubtful:
		q.halfOpen = true
		q.suspect(j, torn)
	case faulty:
		q.fault, q.halfOpen, q.own = result.Err, true, j.tries > 0 && j.proven < q.proven
		q.suspect(j, torn)
		if q.retry(j) {
			return
		}
	}
	q.report(j)
}

// retry moves a job to the end, if it has a try left.
func (q *queue) retry(j *job) bool {
	if j.tries++; j.tries == maxTries {
		return false
	}
	q.again = append(q.again, j)
	return true
}

// suspect counts a fault that may be the server's. Faults of tenants in flight at the
// same time count once.
func (q *queue) suspect(j *job, torn bool) {
	err := j.result.Err
	if j.alone || q.faults == 0 {
		q.faults += weight(err)
		if torn {
			q.torn++
		}
	}
	j.proven, q.cause = q.proven, err
	if q.faults >= maxFaults {
		q.stop(err)
	}
}

// weight is the weight of a fault. A server that answers nothing may be restarting, and
// gets some minutes; one that answers with a failure gets less than one. A hash that
// proves nothing is not requested again.
func weight(err error) int {
	if errors.Is(err, rotator.ErrUnverifiable) || errors.Is(err, rotator.ErrServerFailed) || errors.Is(err, rotator.ErrIntercepted) {
		return 2
	}
	return 1
}

// stop gives up the server. There is no event if all remaining tenants have
// failed while others succeeded.
func (q *queue) stop(err error) {
	if q.stopped != nil {
		return
	}
	q.stopped = fmt.Errorf("not begun, since its server fails: %w", err)
	q.givenUp = q.stopped
	if len(q.waiting) > 0 || q.proven == 0 || errors.Is(err, rotator.ErrServerUnusable) {
		q.Observe.Notify(rotator.Event{Name: rotator.ServerStopped, Origin: q.origin, Count: len(q.waiting), Err: err})
	}
}

// pause waits before the next attempt, at least as long as the server asked.
func (q *queue) pause(ctx context.Context) {
	wait := q.pauses.first
	if !q.own {
		wait = q.pauses.next()
	}
	if limited, ok := errors.AsType[*rotator.RateLimitedError](q.fault); ok {
		wait = max(wait, limited.After)
	}
	if wait > maxAsked {
		q.stop(fmt.Errorf("asked for a pause of %s: %w", wait, q.fault))
		return
	}
	q.Observe.Notify(rotator.Event{Name: rotator.ServerPaused, Origin: q.origin, Wait: wait, Err: q.fault})
	_ = q.clock.Sleep(ctx, wait) // the loop checks the context
	q.fault = nil
}

// finish reports the jobs that the queue did not process.
func (q *queue) finish(ctx context.Context) {
	for _, j := range slices.Concat(q.waiting, q.again, q.claimed) {
		switch {
		case j.attempted: // its last result counts
		case q.held != nil && (ctx.Err() != nil || q.lost()): // of a batch: the next worker begins it
			continue
		case ctx.Err() != nil:
			j.result = rotator.Result{Credential: j.Credential, Outcome: rotator.Deferred, Err: errInterrupted}
		default:
			j.result = rotator.Result{Credential: j.Credential, Outcome: rotator.Blocked, Err: cmp.Or(q.stopped, q.store.fault())}
		}
		q.report(j)
	}
}

// effect is the consequence of an attempt for the queue.
type effect int

const (
	tenantOnly effect = iota // nothing
	succeeded
	faulty     // something on the way to the server temporarily fails
	doubtful   // a retry would not help; it may be this tenant or all
	storeFault // the store does not accept or return this record
	storeDown  // the store does not work at all
	serverDead // nothing more may be sent there in this run
	elsewhere  // another process works on it
)

func classify(r rotator.Result) effect {
	switch {
	case r.Outcome == rotator.Rotated || r.Outcome == rotator.Finished || r.Outcome == rotator.Added:
		return succeeded
	case r.Outcome == rotator.Claimed:
		return elsewhere
	case errors.Is(r.Err, rotator.ErrServerUnusable):
		return serverDead
	case errors.Is(r.Err, rotator.ErrUnknownUser): // although a request for its hash also proves nothing
		return tenantOnly
	case errors.Is(r.Err, rotator.ErrUnverifiable) || errors.Is(r.Err, rotator.ErrIntercepted):
		return doubtful
	case r.Permanent():
		return tenantOnly
	case errors.Is(r.Err, rotator.ErrUnavailable):
		return storeDown
	case rotator.IsStoreError(r.Err):
		return storeFault
	}
	return faulty
}

// storeHealth is what the queues of a run know about their common store.
type storeHealth struct {
	works atomic.Bool  // it accepted all writes of a rotation
	down  atomic.Value // the error for which nothing more is started
}

func (s *storeHealth) giveUp(err error) {
	s.down.Store(fmt.Errorf("not begun, since Vault fails: %w", err))
}

func (s *storeHealth) fault() error {
	err, _ := s.down.Load().(error)
	return err
}
