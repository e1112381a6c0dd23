package vault

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// brake limits the rate of all callers of one login after Vault answers 429 (such as by
// a quota): the first 429 stops them all for the pause that Vault asks for, instead of
// each one hitting the limit itself. Then requests go one at a time until as many in a
// row succeeded as there are callers.
type brake struct {
	min, max time.Duration // of a pause
	careful  int           // successful requests in a row that release it

	mu    sync.Mutex    // guards the fields below
	until time.Time     // nothing is sent earlier
	left  int           // requests still to be sent one at a time; 0: released
	turn  chan struct{} // full while a request is sent alone
}

func newBrake(cfg Config) *brake {
	return &brake{min: cfg.MinWait, max: cfg.MaxWait, careful: cfg.Workers, turn: make(chan struct{}, 1)}
}

// enter waits for the end of a pause, and, while requests go one at a time, for the
// caller's turn. After enter returns nil the caller must call leave.
func (b *brake) enter(ctx context.Context) (alone bool, err error) {
	if wait, released := b.state(); wait <= 0 && released {
		return false, nil
	}
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	for wait, _ := b.state(); wait > 0; wait, _ = b.state() {
		if err := sleep(ctx, wait); err != nil {
			<-b.turn
			return false, err
		}
	}
	return true, nil
}

func (b *brake) state() (wait time.Duration, released bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Until(b.until), b.left == 0
}

// leave updates the state from an answer; nil means no answer.
func (b *brake) leave(alone bool, resp *http.Response) {
	b.learn(resp)
	if alone {
		<-b.turn
	}
}

func (b *brake) learn(resp *http.Response) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case resp == nil:
	case resp.StatusCode == http.StatusTooManyRequests:
		b.left = b.careful
		b.until = time.Now().Add(min(max(retryAfter(resp), b.min), b.max))
	case b.left > 0:
		b.left--
	}
}
