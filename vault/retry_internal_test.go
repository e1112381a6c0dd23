package vault

import (
	"context"
	"errors"
	"math"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestPausesGrowToTheCapAndNotBeyond(t *testing.T) {
	r := newRetry(Config{}.withDefaults())
	for _, attempt := range []int{0, 1, 2, 5, 6, 7, 12, 100, math.MaxInt} {
		full := min(defaultMinWait<<min(attempt, 12), defaultMaxWait)

		pause := r.pause(attempt, nil)

		if pause < full/2 || pause > full {
			t.Errorf("attempt %d: %s is outside %s to %s", attempt, pause, full/2, full)
		}
	}
}

func TestAnnouncedPauseIsTheOneThatIsMade(t *testing.T) {
	var announced []time.Duration
	r := newRetry(Config{OnWait: func(_ error, pause time.Duration) { announced = append(announced, pause) }}.withDefaults())
	ctx, _ := withTries(t.Context())
	resp := &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {"7"}}}

	for attempt := range 8 {
		again, err := r.check(ctx, resp, nil)
		if !again || err != nil || announced[attempt] != r.backoff(0, 0, attempt, resp) {
			t.Errorf("attempt %d: %v, %v, announced %s", attempt, again, err, announced[attempt])
		}
		if announced[attempt] < 7*time.Second {
			t.Errorf("attempt %d: %s is less than Retry-After", attempt, announced[attempt])
		}
	}
}

func TestPauseThatOutlastsTheDeadlineIsNotBegun(t *testing.T) {
	r := newRetry(Config{OnWait: func(error, time.Duration) { t.Error("a wait was announced") }}.withDefaults())
	ctx, cancel := context.WithTimeout(t.Context(), defaultMinWait/4)
	defer cancel()

	again, err := r.check(ctx, &http.Response{StatusCode: 503}, nil)

	if again || err != nil {
		t.Errorf("got %v, %v", again, err)
	}
}

var (
	taken   = &http.Response{StatusCode: 200}
	limited = &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"3"}}}
)

func TestOneRefusalPausesAllCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newRateLimiter(Config{Workers: 8}.withDefaults())
		pass(t, l, limited)

		var sent atomic.Int64
		for range 20 {
			go func() {
				alone, err := l.acquire(t.Context())
				sent.Add(1)
				time.Sleep(time.Millisecond)
				l.release(alone, taken)
				if err != nil {
					t.Error(err)
				}
			}()
		}
		time.Sleep(3*time.Second - 1)
		synctest.Wait()

		if n := sent.Load(); n != 0 {
			t.Fatalf("%d requests were sent during the pause", n)
		}
		time.Sleep(3*time.Millisecond + 1)
		synctest.Wait()
		if n := sent.Load(); n != 4 {
			t.Errorf("%d requests were sent in the time of four, want one after the other", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := sent.Load(); n != 20 {
			t.Errorf("%d of 20 requests were sent", n)
		}
	})
}

func TestAsManyTakenRequestsAsCallersReleaseTheBrake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newRateLimiter(Config{Workers: 3}.withDefaults())
		pass(t, l, limited)
		for i := range 3 {
			if alone := pass(t, l, taken); !alone {
				t.Errorf("request %d after a refusal did not go alone", i+1)
			}
		}

		if alone := pass(t, l, taken); alone {
			t.Error("requests still go one at a time")
		}
	})
}

func TestAPauseIsBoundedWhateverVaultAsksFor(t *testing.T) {
	for header, want := range map[string]time.Duration{"": defaultMinWait, "0": defaultMinWait, "2": 2 * time.Second, "86400": defaultMaxWait} {
		synctest.Test(t, func(t *testing.T) {
			l := newRateLimiter(Config{}.withDefaults())
			start := time.Now()
			pass(t, l, &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {header}}})

			pass(t, l, taken)

			if waited := time.Since(start); waited != want {
				t.Errorf("Retry-After %q: waited %s, want %s", header, waited, want)
			}
		})
	}
}

func TestWhoGivesUpInAPauseDoesNotHoldUpTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newRateLimiter(Config{}.withDefaults())
		pass(t, l, limited)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		_, err := l.acquire(ctx)

		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		pass(t, l, taken) // otherwise the bubble deadlocks
	})
}

func pass(t *testing.T, l *rateLimiter, resp *http.Response) (alone bool) {
	t.Helper()
	alone, err := l.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.release(alone, resp)
	return alone
}
