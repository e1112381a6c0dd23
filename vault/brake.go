package vault

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// brake is what all callers of one login have in common when Vault limits the
// rate of their requests (429, as by a quota): the first refusal stops them all
// for the pause that Vault asks for, instead of each finding out by itself, and
// then one request at a time feels its way until as many in a row as there are
// callers were taken.
type brake struct {
	min, max time.Duration // of a pause
	careful  int           // requests taken in a row that release it

	mu    sync.Mutex    // guards what follows
	until time.Time     // nothing is sent before
	left  int           // requests to be taken one at a time; 0: released
	turn  chan struct{} // full while one goes alone
}

func newBrake(cfg Config) *brake {
	return &brake{min: cfg.MinWait, max: cfg.MaxWait, careful: cfg.Workers, turn: make(chan struct{}, 1)}
}

// enter waits for the end of a pause, and for one's turn while requests go one
// at a time. Without an error leave has to follow.
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

// leave draws the conclusions from an answer; nil is none.
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
