package vault

import (
	"context"
	"math"
	"net/http"
	"testing"
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
