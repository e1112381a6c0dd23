package mailutest

import (
	"net/netip"
	"sync"
	"time"
)

// limiter is AUTH_RATELIMIT_IP: a moving window of failures for every client network, /24 for IPv4 and /48 for IPv6
// (mailu/limiter.py should_rate_limit_ip, rate_limit_ip; mailu/utils.py extract_network_from_ip; configuration.py).
//
// Every failure counts, including a repeated wrong token: rate_limit_ip deduplicates only with a user name, and
// api/common.py passes none. The block ends when the oldest failure leaves the window. Refusals by the limit do not
// prolong it.
type limiter struct {
	limit  int
	window time.Duration
	now    func() time.Time

	mu       sync.Mutex
	failures map[netip.Prefix][]time.Time // guarded by mu
}

func newLimiter(c Config) *limiter {
	return &limiter{limit: c.RateLimit, window: c.RateLimitWindow, now: c.Now, failures: map[netip.Prefix][]time.Time{}}
}

func (l *limiter) blocked(remoteAddr string) bool {
	if l.limit < 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.recent(network(remoteAddr))) >= l.limit
}

func (l *limiter) fail(remoteAddr string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := network(remoteAddr)
	l.failures[n] = append(l.recent(n), l.now())
}

// recent needs l.mu.
func (l *limiter) recent(n netip.Prefix) []time.Time {
	start := l.now().Add(-l.window)
	var kept []time.Time
	for _, t := range l.failures[n] {
		if t.After(start) {
			kept = append(kept, t)
		}
	}
	return kept
}

func network(remoteAddr string) netip.Prefix {
	client, err := netip.ParseAddrPort(remoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	bits := 24
	if client.Addr().Unmap().Is6() {
		bits = 48
	}
	prefix, err := client.Addr().Unmap().WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
