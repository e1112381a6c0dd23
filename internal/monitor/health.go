package monitor

import (
	"sync"
	"time"

	"mailu-rotator/rotator"
)

// stalled is how long a daemon that has something to do may give no sign of
// life. A run that waits for a dead Vault or Mailu gives one every quarter of an
// hour at least, so this is a daemon that hangs, and not a world that does.
const stalled = 2 * time.Hour

// Health answers the two questions of a probe from the daemon's events: does it
// live, and does it work.
type Health struct {
	clock rotator.Clock

	mu       sync.Mutex           // guards what follows
	last     time.Time            // of an event
	next     map[string]time.Time // when each task begins; none: not scheduled, or not known
	running  bool
	surveyed bool
	refused  string // the task that could not take place the last time
}

// NewHealth returns the health of a daemon that begins now.
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
		clear(h.next) // what is still scheduled will be told again
	case rotator.SweepStarted, rotator.RecoveryStarted, rotator.VerificationStarted:
		h.running = true
	case rotator.SweepPlanned, rotator.RecoveryPlanned, rotator.VerificationPlanned:
		h.surveyed = true
	case rotator.SweepFinished, rotator.RecoveryFinished, rotator.VerificationFinished:
		h.running, h.refused = false, ""
	case rotator.SweepInterrupted, rotator.RecoveryInterrupted, rotator.VerificationInterrupted:
		h.running = false
	case rotator.SweepRefused, rotator.RecoveryRefused, rotator.VerificationRefused:
		h.running, h.refused = false, string(e.Name.Task())
	}
}

// Live reports whether the daemon's loop goes on: it waits for its time, or
// something happened lately. That Vault or Mailu is down never makes it false,
// because a restart would mend neither.
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

// Ready is empty once the records were read and while runs can take place, and
// otherwise says what is missing, in words that name nobody.
func (h *Health) Ready() (missing string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.refused != "":
		return "the last " + h.refused + " could not take place: the log says why"
	case !h.surveyed:
		return "the records have not been read yet"
	}
	return ""
}
