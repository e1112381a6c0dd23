// Package notify reports the daemon's state to systemd by the protocol of sd_notify(3):
// ready, reloading, stopping, the current work, and the watchdog's keep-alive. It is
// for Type=notify of systemd 247 and later.
//
// If systemd did not set NOTIFY_SOCKET, every method does nothing. Messages name no
// tenant and no Mailu server that the configuration does not, since everybody on the
// host can read them.
//
// The protocol is a datagram of lines, so this package takes no more from go-systemd
// than the clock that Go does not expose. It imports rotator for its events, and text.
package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"mailu-rotator/internal/text"
	"mailu-rotator/rotator"
)

// patience limits how long a send may block. systemd's queue is full only while systemd
// itself hangs.
const patience = time.Second

// Socket is the connection to systemd. It is safe for concurrent use.
type Socket struct {
	conn   *net.UnixConn // nil: systemd did not ask
	period time.Duration // interval of watchdog messages; 0: no watchdog
	clock  rotator.Clock
	status status
}

// Open takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment, so
// that no child process speaks for the service, and connects. The caller must close it.
func Open(clock rotator.Clock) (*Socket, error) {
	address := take("NOTIFY_SOCKET")
	period := watchdogPeriod(take("WATCHDOG_USEC"), take("WATCHDOG_PID"))
	if address == "" {
		return &Socket{clock: clock}, nil
	}
	// A leading @ means an abstract socket to both systemd and Go.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	return &Socket{conn: conn, period: period, clock: clock}, nil
}

func take(name string) string {
	value := os.Getenv(name)
	_ = os.Unsetenv(name) // fails for impossible names only
	return value
}

// watchdogPeriod returns half of what systemd allows, as sd_watchdog_enabled(3)
// advises, or 0 if no watchdog is set for this process.
func watchdogPeriod(microseconds, pid string) time.Duration {
	if pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	allowed, err := strconv.ParseUint(microseconds, 10, 40) // up to twelve days
	if err != nil {
		return 0
	}
	return time.Duration(allowed) * time.Microsecond / 2
}

// Close ends the connection without a message to systemd.
func (s *Socket) Close() {
	if s.conn != nil {
		_ = s.conn.Close()
	}
}

// Ready reports that the service has started, or has finished reloading.
func (s *Socket) Ready() error { return s.send("READY=1") }

// Reloading reports that a reload begins. Type=notify-reload needs the time.
func (s *Socket) Reloading() error {
	return s.send("RELOADING=1", strings.TrimSpace(daemon.SdNotifyMonotonicUsec()))
}

// Stopping reports that the service is stopping, however long that takes.
func (s *Socket) Stopping() error { return s.send("STOPPING=1") }

// Guard sends watchdog messages until ctx ends, at the interval that systemd expects
// and only while live returns true. So systemd kills a process that hangs, and one
// whose main loop hangs.
func (s *Socket) Guard(ctx context.Context, live func() bool) {
	if s.conn == nil || s.period == 0 {
		return
	}
	for {
		if live() {
			_ = s.send("WATCHDOG=1") // systemd hangs; the next message may arrive
		}
		if s.clock.Sleep(ctx, s.period) != nil {
			return
		}
	}
}

func (s *Socket) send(lines ...string) error {
	if s.conn == nil {
		return nil
	}
	err := s.conn.SetWriteDeadline(time.Now().Add(patience))
	if err == nil {
		_, err = s.conn.Write([]byte(strings.Join(lines, "\n")))
	}
	if err != nil {
		return fmt.Errorf("tell systemd %s: %w", lines[0], err)
	}
	return nil
}

// status is the text that `systemctl status` shows for the daemon.
type status struct {
	mu       sync.Mutex // guards the fields below, and the order of the messages
	underWay string     // "": idle
	trouble  string     // why nothing goes on; "" from the next event on
	refused  string     // why the last reload was refused; "": it was not
	last     string     // result of the last sweep; "": none yet
	works    int        // servers that this process is a worker for; 0: it is none
	next     time.Time  // of sweeps; zero: not known
	sent     string
}

// Observe is a [rotator.Observer] that keeps STATUS= up to date.
func (s *Socket) Observe(e rotator.Event) {
	s.update(func() { s.status.learn(e, s.clock.Now()) })
}

// Waiting shows that Vault is waited for, and why, until the next event.
func (s *Socket) Waiting(cause error) {
	if request, ok := errors.AsType[*url.Error](cause); ok {
		cause = request.Err // the URL may name a tenant
	}
	s.update(func() { s.status.trouble = "waiting for Vault: " + line(cause) })
}

// Reloaded shows why a reload was refused, until one is accepted (nil).
func (s *Socket) Reloaded(err error) {
	s.update(func() {
		s.status.refused = ""
		if err != nil {
			s.status.refused = "reload refused: " + line(err)
		}
	})
}

// maxLine is in characters; `systemctl status` shows one line.
const maxLine = 200

// line is an error in one line: systemd takes each line for another message.
func line(err error) string {
	return fmt.Sprintf("%.*s", maxLine, text.Escape(strings.Join(strings.Fields(err.Error()), " ")))
}

func (s *Socket) update(change func()) {
	s.status.mu.Lock()
	defer s.status.mu.Unlock()
	change()
	now := s.status.text()
	if now == s.status.sent {
		return
	}
	if s.send("STATUS="+now) == nil { // on error the next event tries again
		s.status.sent = now
	}
}

func (s *status) learn(e rotator.Event, now time.Time) {
	s.trouble = ""
	switch e.Name {
	case rotator.SweepStarted:
		s.underWay = "sweep under way"
	case rotator.SweepPlanned:
		s.underWay = fmt.Sprintf("sweep under way, %d to rotate or finish", e.Count)
	case rotator.RecoveryStarted:
		s.underWay = "recovery under way"
	case rotator.RecoveryFinished, rotator.RecoveryInterrupted, rotator.RecoveryRefused,
		rotator.VerificationFinished, rotator.VerificationInterrupted, rotator.VerificationRefused:
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
	case rotator.TickScheduled:
		s.next = now.Add(e.Wait)
	case rotator.WorkerReady:
		s.works = e.Count
	case rotator.SettingsReplaced:
		s.next = time.Time{} // tasks that are still scheduled announce it again
	}
}

func (s *status) text() string {
	switch {
	case s.trouble != "":
		return s.trouble
	case s.underWay != "":
		return s.underWay
	}
	all := "waiting"
	switch {
	case !s.next.IsZero():
		all = "next sweep at " + s.next.UTC().Format(time.RFC3339)
	case s.works > 0:
		all = fmt.Sprintf("worker for %d Mailu servers", s.works)
	}
	if s.last != "" {
		all += "; " + s.last
	}
	if s.refused != "" {
		all += "; " + s.refused
	}
	return all
}
