package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serviceManager is systemd's end of NOTIFY_SOCKET.
type serviceManager struct{ *net.UnixConn }

// startService starts the program as systemd starts a service.
func (s *site) startService(t *testing.T, environment []string, args ...string) (*program, serviceManager) {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // t.TempDir is too long for a socket
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	address := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return s.startIn(t, append(environment, "NOTIFY_SOCKET="+address), args...), serviceManager{conn}
}

// mustHear waits for a message with this prefix, and skips the others.
func (m serviceManager) mustHear(t *testing.T, start string) {
	t.Helper()
	must(t, m.SetReadDeadline(time.Now().Add(patience)))
	for buffer := make([]byte, 4096); ; {
		n, err := m.Read(buffer)
		if err != nil {
			t.Fatalf("waiting for %s: %v", start, err)
		}
		if strings.HasPrefix(string(buffer[:n]), start) {
			return
		}
	}
}

func TestSystemdHearsHowTheDaemonStands(t *testing.T) {
	s := newTestSite(t)
	must(t, s.writeConfig(never, noJitter))

	daemon, systemd := s.startService(t, nil)
	systemd.mustHear(t, "READY=1")
	systemd.mustHear(t, "STATUS=next sweep at ")

	must(t, os.WriteFile(s.configFile(), []byte("rotation: {workers: none}"), 0o600))
	daemon.signal(t, syscall.SIGHUP)
	systemd.mustHear(t, "RELOADING=1\nMONOTONIC_USEC=")
	systemd.mustHear(t, "READY=1")
	daemon.mustLog(t, "configuration refused, the old one stays", 1)

	must(t, s.writeConfig(everySecond, noJitter))
	daemon.signal(t, syscall.SIGHUP)
	systemd.mustHear(t, "RELOADING=1\nMONOTONIC_USEC=")
	systemd.mustHear(t, "READY=1")
	systemd.mustHear(t, "STATUS=sweep under way")

	daemon.signal(t, syscall.SIGTERM)
	systemd.mustHear(t, "STOPPING=1")
	daemon.mustEnd(t, exitDone)
}

func TestDaemonFeedsTheWatchdogThatSystemdSets(t *testing.T) {
	s := newTestSite(t)
	must(t, s.writeConfig(never, noJitter))

	daemon, systemd := s.startService(t, []string{"WATCHDOG_USEC=100000"})
	systemd.mustHear(t, "WATCHDOG=1")
	systemd.mustHear(t, "WATCHDOG=1")
	daemon.stop(t)
}

// systemd must not count the daemon as started before its configuration has been read.
func TestSystemdIsNotToldOfADaemonWithABadConfiguration(t *testing.T) {
	s := newTestSite(t)
	must(t, s.writeConfig("rotation.schedule=at night"))

	daemon, systemd := s.startService(t, nil)
	daemon.mustEnd(t, exitCannotRun)

	// Any message of the program would be read before this one.
	_, err := systemd.WriteTo([]byte("X_MARK=1"), systemd.LocalAddr())
	must(t, err)
	buffer := make([]byte, 4096)
	n, err := systemd.Read(buffer)
	if err != nil || string(buffer[:n]) != "X_MARK=1" {
		t.Errorf("heard %q, %v", buffer[:n], err)
	}
}

func TestSystemdHearsOfAWorker(t *testing.T) {
	s, _ := newClusterSite(t, 0, never)

	worker, systemd := s.startService(t, []string{"WATCHDOG_USEC=100000"}, "worker")
	systemd.mustHear(t, "READY=1")
	systemd.mustHear(t, "STATUS=worker for 2 Mailu servers")
	systemd.mustHear(t, "WATCHDOG=1")

	worker.signal(t, syscall.SIGTERM)
	systemd.mustHear(t, "STOPPING=1")
	worker.mustEnd(t, exitDone)
}
