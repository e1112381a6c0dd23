package mailutest_test

import (
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"mailu-rotator/mailu/mailutest"
)

// clock is the injected time; it starts anywhere and moves only when told to.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(c.offset.Load()))
}

func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

func guess(t *testing.T, server *mailutest.Server, times int) {
	t.Helper()
	for range times {
		if got := do(t, server, request{token: "Bearer wrong"}); got.status != http.StatusForbidden {
			t.Fatalf("guess: status %d", got.status)
		}
	}
}

func TestFourWrongTokensBlockNothing(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})

	guess(t, server, 4)

	if got := do(t, server, request{}); got.status != http.StatusOK {
		t.Errorf("status %d", got.status)
	}
}

func TestFiveWrongTokensBlockTheRightOneToo(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})

	guess(t, server, 5)

	if got := do(t, server, request{}); got.status != http.StatusTooManyRequests {
		t.Errorf("right token: status %d", got.status)
	}
	if got := do(t, server, request{token: "-"}); got.status != http.StatusTooManyRequests {
		t.Errorf("no token: status %d", got.status)
	}
}

func TestTheRightTokenBetweenDoesNotForgive(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})
	guess(t, server, 4)
	do(t, server, request{})

	guess(t, server, 1)

	if got := do(t, server, request{}); got.status != http.StatusTooManyRequests {
		t.Errorf("status %d", got.status)
	}
}

func TestTheBlockEndsAnHourAfterTheFirstWrongToken(t *testing.T) {
	var time0 clock
	server := runWithAlice(t, mailutest.Config{Now: time0.now})
	guess(t, server, 1)
	time0.advance(10 * time.Minute)
	guess(t, server, 4)

	time0.advance(50*time.Minute - time.Second)
	if got := do(t, server, request{}); got.status != http.StatusTooManyRequests {
		t.Errorf("a second before: status %d", got.status)
	}

	time0.advance(time.Second)
	if got := do(t, server, request{}); got.status != http.StatusOK {
		t.Errorf("after the hour: status %d", got.status)
	}
}

func TestRefusalsByTheLimitDoNotProlongIt(t *testing.T) {
	var time0 clock
	server := runWithAlice(t, mailutest.Config{Now: time0.now})
	guess(t, server, 5)
	time0.advance(59 * time.Minute)
	do(t, server, request{token: "Bearer wrong"})

	time0.advance(time.Minute)

	if got := do(t, server, request{}); got.status != http.StatusOK {
		t.Errorf("status %d", got.status)
	}
}

func TestWhatIsNoWrongTokenDoesNotCount(t *testing.T) {
	for name, ask := range map[string]request{
		"no header":              {token: "-"},
		"bad body, wrong token":  {method: "PATCH", body: "{", token: "Bearer wrong"},
		"unknown path":           {path: "/api/v1/nothing", token: "Bearer wrong"},
		"unknown user":           {path: "/api/v1/user/bob@example.com"},
		"method without a route": {method: "PUT", token: "Bearer wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			server := runWithAlice(t, mailutest.Config{})

			for range 6 {
				do(t, server, ask)
			}

			if got := do(t, server, request{}); got.status != http.StatusOK {
				t.Errorf("status %d", got.status)
			}
		})
	}
}

func TestTheBlockHoldsForTheNetworkAndNoFurther(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})
	guess(t, server, 5)

	neighbour, err := tryOver(t.Context(), from(t, "127.0.0.200"), server, request{})
	if err != nil || neighbour.status != http.StatusTooManyRequests {
		t.Errorf("same /24: status %d, %v", neighbour.status, err)
	}

	stranger, err := tryOver(t.Context(), from(t, "127.0.1.1"), server, request{})
	if err != nil || stranger.status != http.StatusOK {
		t.Errorf("other /24: status %d, %v", stranger.status, err)
	}
}

func TestANegativeLimitIsNone(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{RateLimit: -1})

	guess(t, server, 10)

	if got := do(t, server, request{}); got.status != http.StatusOK {
		t.Errorf("status %d", got.status)
	}
}

// from is a transport that connects from this loopback address.
func from(t *testing.T, address string) *http.Transport {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	transport := &http.Transport{DialContext: dialer.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}
