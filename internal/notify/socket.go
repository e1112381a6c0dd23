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
	return s.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(monotonic().Microseconds(), 10))
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
	if err := s.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return fmt.Errorf("tell systemd %s: %w", lines[0], err)
	}
	if _, err := s.conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("tell systemd %s: %w", lines[0], err)
	}
	return nil
}
