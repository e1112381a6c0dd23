package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/internal/peer"
	"mailu-rotator/rotator"
)

// triesOfARecord limits the requests for one record that Vault answers with 500 while
// it answers others: its storage may be permanently damaged (hashicorp/vault issue
// 16488). With the default pauses that is under 8 seconds.
const triesOfARecord = 5

// retry is the API client's retry policy: it retries network errors, 412, 429 and 5xx
// except 501, also for writes, until the call's context ends. A 500 about one record has
// few tries; after a 472 or 473 each node that was not tried in this round has one.
type retry struct {
	Config
	nodes *nodes
	seed  uint64
}

func newRetry(cfg Config, nodes *nodes) retry {
	return retry{Config: cfg, nodes: nodes, seed: rand.Uint64()}
}

// tries counts the failed tries of one request, whose effect is uncertain.
type tries struct {
	n    int
	last error // why the last one failed
}

type triesKey struct{}

func withTries(ctx context.Context) (context.Context, *tries) {
	t := &tries{}
	return context.WithValue(ctx, triesKey{}, t), t
}

// check decides whether to retry. It does not start a pause that leaves no time for a try
// before the context's deadline, so that the caller gets Vault's answer instead of a
// timeout.
func (r retry) check(ctx context.Context, resp *http.Response, err error) (bool, error) {
	count, ok := ctx.Value(triesKey{}).(*tries)
	if !ok {
		count = &tries{}
	}
	again, stop := mayPass(ctx, resp, err)
	if stop != nil || !again && !isUpgrading(resp) && !r.mayServeElsewhere(ctx, resp, count.n) {
		return false, stop
	}
	pause := r.pause(count.n, resp)
	count.n++
	if count.n >= triesOfARecord && r.isRecordFault(resp) {
		return false, nil
	}
	if count.last = err; err == nil {
		count.last = fmt.Errorf("vault answered %s", describeStatus(resp.StatusCode))
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= pause+r.MinWait {
		return false, nil
	}
	r.OnWait(count.last, pause)
	return true, nil
}

// mayPass is the API client's own policy, which retries every request without an
// answer. One that ended with its lease gets none.
func mayPass(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if other, ok := errors.AsType[*foreignError](err); ok {
		return other.passing, nil
	}
	if errors.Is(err, context.Canceled) && ctx.Err() == nil {
		return false, nil
	}
	return api.DefaultRetryPolicy(ctx, resp, err)
}

func (r retry) backoff(_, _ time.Duration, attempt int, resp *http.Response) time.Duration {
	return r.pause(attempt, resp)
}

// mayServeElsewhere recognizes a node that never serves the request, while this round has
// nodes that were not tried.
func (r retry) mayServeElsewhere(ctx context.Context, resp *http.Response, failed int) bool {
	if resp == nil || resp.StatusCode != statusDRSecondary && resp.StatusCode != statusPerformanceStandby {
		return false
	}
	r.nodes.get(ctx) // the next one; it learns how many there are
	return !r.endsRound(failed)
}

// endsRound reports whether every node was tried equally often, the failed tries and one
// more counted.
func (r retry) endsRound(failed int) bool {
	size := int(r.nodes.size.Load())
	return failed%size == size-1
}

// growth is the ratio of two pauses. After an election of ten seconds they are less than
// two: a run hardly stands still longer than Vault does.
const growth = 1.1

// hop is the part of the shortest pause before a request goes to a node that it has not
// tried in this round.
const hop = 10

// pause grows from min to max and is jittered down by up to a half. With several nodes, it
// comes after every round of them. It is a pure function of the attempt, because the API
// client calls backoff for it after check has announced it.
func (r retry) pause(attempt int, resp *http.Response) time.Duration {
	round := attempt
	if resp == nil || cannotServe(resp) {
		if !r.endsRound(attempt) {
			return r.MinWait / hop
		}
		round /= int(r.nodes.size.Load())
	}
	full := min(float64(r.MinWait)*math.Pow(growth, float64(round)), float64(r.MaxWait))
	jitter := rand.New(rand.NewPCG(r.seed, uint64(attempt))).Float64()
	pause := time.Duration(full * (1 - jitter/2))
	if resp == nil {
		return pause
	}
	asked, _ := peer.RetryAfter(resp.Header)
	return max(pause, min(asked, r.MaxWait))
}

// cannotServe recognizes an answer that concerns the node, not the request: another one
// may serve it.
func cannotServe(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusTemporaryRedirect, statusDRSecondary, statusPerformanceStandby, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusInternalServerError:
		return isPassing(peek(resp))
	}
	return false
}

func isPassing(text string) bool {
	return slices.ContainsFunc(passing, func(phrase string) bool { return strings.Contains(text, phrase) })
}

// isRecordFault recognizes a 500 that concerns only the requested record.
func (r retry) isRecordFault(resp *http.Response) bool {
	if resp == nil || resp.StatusCode != http.StatusInternalServerError {
		return false
	}
	if operation := r.operationOf(resp.Request); operation != opRead && operation != opWrite {
		return false
	}
	return !isPassing(peek(resp))
}

// isUpgrading recognizes the only temporary 400: a KV mount that is being upgraded to
// version 2.
func isUpgrading(resp *http.Response) bool {
	return resp != nil && resp.StatusCode == http.StatusBadRequest && strings.Contains(peek(resp), "Upgrading from non-versioned")
}

// peek returns the beginning of an answer, which can still be read in full.
func peek(resp *http.Response) string {
	head, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	rest := resp.Body
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), rest), rest}
	if err != nil {
		return ""
	}
	return string(head)
}

// rateLimiter limits the rate of all callers of one login after Vault answers 429 (such as by
// a quota): the first 429 stops them all for the pause that Vault asks for, instead of
// each one hitting the limit itself. Then requests go one at a time until as many in a
// row succeeded as there are callers.
type rateLimiter struct {
	cfg Config

	mu    sync.Mutex    // guards the fields below
	until time.Time     // nothing is sent earlier
	left  int           // requests still to be sent one at a time; 0: released
	turn  chan struct{} // full while a request is sent alone
}

func newRateLimiter(cfg Config) *rateLimiter {
	return &rateLimiter{cfg: cfg, turn: make(chan struct{}, 1)}
}

// acquire waits for the end of a pause, and, while requests go one at a time, for the
// caller's turn. After acquire returns nil the caller must call release.
func (l *rateLimiter) acquire(ctx context.Context) (alone bool, err error) {
	if wait, released := l.state(); wait <= 0 && released {
		return false, nil
	}
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	for wait, _ := l.state(); wait > 0; wait, _ = l.state() {
		if err := (rotator.SystemClock{}).Sleep(ctx, wait); err != nil {
			<-l.turn
			return false, err
		}
	}
	return true, nil
}

func (l *rateLimiter) state() (wait time.Duration, released bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Until(l.until), l.left == 0
}

// release updates the state from an answer; nil means no answer.
func (l *rateLimiter) release(alone bool, resp *http.Response) {
	if alone {
		defer func() { <-l.turn }()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case resp == nil:
	case resp.StatusCode == http.StatusTooManyRequests:
		l.left = l.cfg.Workers
		asked, _ := peer.RetryAfter(resp.Header)
		l.until = time.Now().Add(min(max(asked, l.cfg.MinWait), l.cfg.MaxWait))
	case l.left > 0:
		l.left--
	}
}
