package monitor

import (
	"net/http"
	"testing"
	"time"
)

func TestLatencyFollowsTheLastRequests(t *testing.T) {
	m := watch(t)
	if _, known := m.Latency(serverA); known {
		t.Error("a latency is known before the first request")
	}

	m.MailuRequest(serverA, http.MethodGet, 200, time.Second)
	first, _ := m.Latency(serverA)
	for range 30 {
		m.MailuRequest(serverA, http.MethodGet, 200, 3*time.Second)
	}

	if last, _ := m.Latency(serverA); first != time.Second || last < 2900*time.Millisecond || last > 3*time.Second {
		t.Errorf("after one request %s, after thirty of 3s %s", first, last)
	}
	if _, known := m.Latency(serverB); known {
		t.Error("requests to one server tell of another")
	}
}
