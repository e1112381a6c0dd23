package monitor

import (
	"sync"
	"time"

	"mailu-rotator/rotator"
)

// latencies are moving averages: each request counts for a fifth, so that about the
// last ten determine the value.
type latencies struct {
	mu      sync.Mutex
	average map[rotator.Origin]time.Duration
}

func (l *latencies) note(origin rotator.Origin, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	former, known := l.average[origin]
	if l.average == nil {
		l.average = map[rotator.Origin]time.Duration{}
	}
	if known {
		took = former + (took-former)/5
	}
	l.average[origin] = took
}

// Latency returns the average duration of recent requests to the server, including
// those without an answer; false if none was sent yet.
func (m *Metrics) Latency(origin rotator.Origin) (time.Duration, bool) {
	m.latencies.mu.Lock()
	defer m.latencies.mu.Unlock()
	average, known := m.latencies.average[origin]
	return average, known
}
