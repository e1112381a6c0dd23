package notify

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"mailu-rotator/rotator"
)

// patience is how long systemd may take to accept a message. Its queue is full
// only while it hangs itself.
const patience = time.Second

// Socket is the way to systemd. It may be used by several goroutines.
type Socket struct {
	conn   *net.UnixConn // nil: systemd did not ask
	period time.Duration // how often the watchdog is fed; 0: there is none
	clock  rotator.Clock
	status status
}

// Open takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the
// environment, so that no child speaks for the service, and connects. The caller
// closes it.
func Open(clock rotator.Clock) (*Socket, error) {
	address := take("NOTIFY_SOCKET")
	period := watchdogPeriod(take("WATCHDOG_USEC"), take("WATCHDOG_PID"))
	if address == "" {
		return &Socket{clock: clock}, nil
	}
	// A leading @, an abstract socket, means the same to systemd and to Go.
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

// watchdogPeriod is half of what systemd allows, as sd_watchdog_enabled(3)
// advises, and 0 where no watchdog is set for this process.
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

// Close ends the connection; it tells systemd nothing.
func (s *Socket) Close() {
	if s.conn != nil {
		_ = s.conn.Close()
	}
}

// Ready tells that the service has started, or gone on after [Socket.Reloading].
func (s *Socket) Ready() error { return s.send("READY=1") }

// Reloading tells that a reload begins. The time is for Type=notify-reload.
func (s *Socket) Reloading() error {
	return s.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(monotonic().Microseconds(), 10))
}

// Stopping tells that the service ends, however long that may take.
func (s *Socket) Stopping() error { return s.send("STOPPING=1") }

// Guard feeds the watchdog until ctx ends, as often as systemd wants it and only
// while live is true. A process that hangs is then killed, and so is one whose
// loop hangs although the process runs.
func (s *Socket) Guard(ctx context.Context, live func() bool) {
	if s.conn == nil || s.period == 0 {
		return
	}
	for {
		if live() {
			_ = s.send("WATCHDOG=1") // systemd hangs; the next one may arrive
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
	if err := s.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return fmt.Errorf("tell systemd %s: %w", lines[0], err)
	}
	if _, err := s.conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("tell systemd %s: %w", lines[0], err)
	}
	return nil
}
