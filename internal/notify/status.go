package notify

import (
	"fmt"
	"sync"
	"time"

	"mailu-rotator/rotator"
)

// status is the text that `systemctl status` shows for the daemon.
type status struct {
	mu       sync.Mutex // guards the fields below, and the order of the messages
	underWay string     // "": idle
	last     string     // result of the last sweep; "": none yet
	next     time.Time  // of sweeps; zero: not known
	sent     string
}

// Observe is a [rotator.Observer] that keeps STATUS= up to date.
func (s *Socket) Observe(e rotator.Event) {
	s.status.mu.Lock()
	defer s.status.mu.Unlock()
	s.status.learn(e, s.clock.Now())
	text := s.status.text()
	if text == s.status.sent {
		return
	}
	if s.send("STATUS="+text) == nil { // on error the next event tries again
		s.status.sent = text
	}
}

func (s *status) learn(e rotator.Event, now time.Time) {
	switch e.Name {
	case rotator.SweepStarted:
		s.underWay = "sweep under way"
	case rotator.SweepPlanned:
		s.underWay = fmt.Sprintf("sweep under way, %d to rotate or finish", e.Count)
	case rotator.RecoveryStarted:
		s.underWay = "recovery under way"
	case rotator.RecoveryFinished, rotator.RecoveryInterrupted, rotator.RecoveryRefused, rotator.VerificationInterrupted:
		s.underWay = ""
	case rotator.SweepInterrupted:
		s.underWay, s.last = "", fmt.Sprintf("last sweep: interrupted, %d not begun", e.Deferred)
	case rotator.SweepFinished:
		s.underWay, s.last = "", fmt.Sprintf("last sweep: %d failed", e.Count)
	case rotator.SweepRefused:
		s.underWay, s.last = "", "last sweep could not take place, the log says why"
	case rotator.VerificationStarted:
		s.underWay = "verification under way"
	case rotator.VerificationPlanned:
		s.underWay = fmt.Sprintf("verification under way, %d to ask about", e.Count)
	case rotator.VerificationFinished, rotator.VerificationRefused:
		s.underWay = ""
	case rotator.TickScheduled:
		s.next = now.Add(e.Wait)
	case rotator.SettingsReplaced:
		s.next = time.Time{} // tasks that are still scheduled announce it again
	}
}

func (s *status) text() string {
	if s.underWay != "" {
		return s.underWay
	}
	text := "waiting"
	if !s.next.IsZero() {
		text = "next sweep at " + s.next.UTC().Format(time.RFC3339)
	}
	if s.last != "" {
		text += "; " + s.last
	}
	return text
}
