package monitor

import (
	"sync"
	"time"

	"mailu-rotator/rotator"
)

// latencies are moving averages: each request counts for a fifth, so that the
// last ten or so decide.
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

// Latency is how long the last requests to the server took, on average, those
// without an answer too; false if none was sent yet.
func (m *Metrics) Latency(origin rotator.Origin) (time.Duration, bool) {
	m.latencies.mu.Lock()
	defer m.latencies.mu.Unlock()
	average, known := m.latencies.average[origin]
	return average, known
}
