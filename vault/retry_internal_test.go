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

// retryOf is the policy of a client with the addresses of cfg.
func retryOf(cfg Config) retry {
	if cfg.Address == "" {
		cfg.Address = "https://vault-1.example:8200"
	}
	return newRetry(cfg, newNodes(cfg, nil))
}

func TestPausesGrowToTheCapAndNotBeyond(t *testing.T) {
	r := retryOf(Config{}.withDefaults())
	for attempt, full := range map[int]time.Duration{
		0: defaultMinWait, 1: 550 * time.Millisecond, 2: 605 * time.Millisecond, 42: 27381888062,
		43: defaultMaxWait, 100: defaultMaxWait, math.MaxInt: defaultMaxWait,
	} {
		pause := r.pause(attempt, nil)

		if pause < full/2 || pause > full {
			t.Errorf("attempt %d: %s is outside %s to %s", attempt, pause, full/2, full)
		}
	}
}

func TestAVaultThatIsBackIsNoticedSoon(t *testing.T) {
	r, away := retryOf(Config{}.withDefaults()), time.Duration(0)
	for attempt := 0; away < 10*time.Second; attempt++ {
		pause := r.pause(attempt, nil)
		if pause > 2*time.Second {
			t.Fatalf("after %s a pause of %s", away, pause)
		}
		away += pause
	}
}

func TestEveryNodeIsTriedBeforeAPause(t *testing.T) {
	r := retryOf(Config{OtherAddresses: []string{"https://vault-2.example:8200", "https://vault-3.example:8200"}}.withDefaults())
	standby := &http.Response{StatusCode: 473}
	for attempt := range 40 {
		full := 50 * time.Millisecond
		if round := attempt / 3; attempt%3 == 2 {
			full = time.Duration(500e6 * math.Pow(growth, float64(round)))
		}
		for _, resp := range []*http.Response{nil, standby} {
			if pause := r.pause(attempt, resp); pause < full/2 || pause > full {
				t.Errorf("attempt %d, %v: %s is outside %s to %s", attempt, resp, pause, full/2, full)
			}
		}
		full = min(time.Duration(500e6*math.Pow(growth, float64(attempt))), r.MaxWait)
		if pause := r.pause(attempt, &http.Response{StatusCode: 412}); pause < full/2 || pause > full {
			t.Errorf("attempt %d of a request that another node serves no better: %s is outside %s to %s", attempt, pause, full/2, full)
		}
	}
}

func TestAnnouncedPauseIsTheOneThatIsMade(t *testing.T) {
	var announced []time.Duration
	r := retryOf(Config{OnWait: func(_ error, pause time.Duration) { announced = append(announced, pause) }}.withDefaults())
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
	r := retryOf(Config{OnWait: func(error, time.Duration) { t.Error("a wait was announced") }}.withDefaults())
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
