package vault

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var (
	taken   = &http.Response{StatusCode: 200}
	limited = &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"3"}}}
)

func TestOneRefusalPausesAllCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrake(Config{Workers: 8}.withDefaults())
		pass(t, b, limited)

		var sent atomic.Int64
		for range 20 {
			go func() {
				alone, err := b.enter(t.Context())
				sent.Add(1)
				time.Sleep(time.Millisecond)
				b.leave(alone, taken)
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
		b := newBrake(Config{Workers: 3}.withDefaults())
		pass(t, b, limited)
		for i := range 3 {
			if alone := pass(t, b, taken); !alone {
				t.Errorf("request %d after a refusal did not go alone", i+1)
			}
		}

		if alone := pass(t, b, taken); alone {
			t.Error("the brake is still on")
		}
	})
}

func TestAPauseIsBoundedWhateverVaultAsksFor(t *testing.T) {
	for header, want := range map[string]time.Duration{"": defaultMinWait, "0": defaultMinWait, "2": 2 * time.Second, "86400": defaultMaxWait} {
		synctest.Test(t, func(t *testing.T) {
			b := newBrake(Config{}.withDefaults())
			start := time.Now()
			pass(t, b, &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {header}}})

			pass(t, b, taken)

			if waited := time.Since(start); waited != want {
				t.Errorf("Retry-After %q: waited %s, want %s", header, waited, want)
			}
		})
	}
}

func TestWhoGivesUpInAPauseDoesNotHoldUpTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrake(Config{}.withDefaults())
		pass(t, b, limited)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		_, err := b.enter(ctx)

		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		pass(t, b, taken) // otherwise the bubble deadlocks
	})
}

func pass(t *testing.T, b *brake, resp *http.Response) (alone bool) {
	t.Helper()
	alone, err := b.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.leave(alone, resp)
	return alone
}
