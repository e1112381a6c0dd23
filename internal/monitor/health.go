package monitor

import (
	"sync"
	"time"

	"mailu-rotator/rotator"
)

// stalled is how long a daemon that has work may emit no event before it counts as
// hung. A run that waits for a dead Vault or Mailu emits one at least every 15 minutes.
const stalled = 2 * time.Hour

// Health answers liveness and readiness probes from the daemon's events.
type Health struct {
	clock rotator.Clock

	mu      sync.Mutex           // guards the fields below
	last    time.Time            // of an event
	next    map[string]time.Time // when each task begins; missing: not scheduled, or unknown
	running bool
	scanned bool
	working bool   // it takes batches of the cluster
	refused string // the task that was last refused
}

// NewHealth returns the health of a daemon that starts now.
func NewHealth(clock rotator.Clock) *Health {
	return &Health{clock: clock, last: clock.Now(), next: map[string]time.Time{}}
}

// Observe is a [rotator.Observer].
func (h *Health) Observe(e rotator.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = h.clock.Now()
	switch e.Name {
	case rotator.TickScheduled, rotator.VerificationScheduled:
		h.next[string(e.Name.Task())] = h.last.Add(e.Wait)
	case rotator.SettingsReplaced:
		clear(h.next) // tasks that are still scheduled announce it again
	case rotator.SweepStarted, rotator.RecoveryStarted, rotator.VerificationStarted:
		h.running = true
	case rotator.SweepPlanned, rotator.RecoveryPlanned, rotator.VerificationPlanned:
		h.scanned = true
	case rotator.WorkerReady:
		h.working = true
	case rotator.SweepFinished, rotator.RecoveryFinished, rotator.VerificationFinished:
		h.running, h.refused = false, ""
	case rotator.SweepInterrupted, rotator.RecoveryInterrupted, rotator.VerificationInterrupted:
		h.running = false
	case rotator.SweepRefused, rotator.RecoveryRefused, rotator.VerificationRefused:
		h.running, h.refused = false, string(e.Name.Task())
	}
}

// Live reports whether the daemon's loop is running: it waits for its time, or an event
// happened recently. An outage of Vault or Mailu never makes it false, because a
// restart would not fix it.
func (h *Health) Live() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.clock.Now()
	if now.Before(h.last.Add(stalled)) {
		return true
	}
	if h.running {
		return false
	}
	for _, begins := range h.next {
		if !now.Before(begins.Add(stalled)) {
			return false
		}
	}
	return true
}

// Ready returns "" once the records were read and while runs can start, and otherwise
// what is missing, without names of tenants or servers.
func (h *Health) Ready() (missing string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.refused != "":
		return "the last " + h.refused + " could not take place: the log says why"
	case !h.scanned && !h.working:
		return "the records have not been read yet"
	}
	return ""
}
