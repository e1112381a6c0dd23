package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/syslog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/zap"

	"mailu-rotator/internal/config"
)

func noSystemLog() (io.WriteCloser, error) { return nil, errors.New("no system log here") }

// brokenPipe is a stderr without a reader.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestAuditReachesTheSystemLog(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "log")
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	must(t, err)
	defer listener.Close()
	dial := func() (io.WriteCloser, error) {
		return syslog.Dial("unixgram", socket, syslog.LOG_AUTHPRIV|syslog.LOG_NOTICE, "mailu-rotator")
	}
	var stderr bytes.Buffer

	err = newLogger(config.Log{}, &stderr).audit(dial, passwordRevealed, zap.String("tenant", "t-1"), zap.String("user", "a b=\n"))

	must(t, err)
	line := make([]byte, 4096)
	n, err := listener.Read(line)
	must(t, err)
	// 85: facility 10 (authpriv), severity 5 (notice).
	want := regexp.MustCompile(`^<85>.* mailu-rotator\[\d+\]: password revealed tenant=t-1 user="a b=\\n" by=\S+ uid=` + strconv.Itoa(os.Getuid()) + ` .*host=\S+ .*pid=\d+\n$`)
	if !want.Match(line[:n]) {
		t.Errorf("the system log got %q", line[:n])
	}
	if !strings.Contains(stderr.String(), `"system_log":"written"`) {
		t.Errorf("stderr got %s", &stderr)
	}
}

func TestAuditSaysWhereThereIsNoSystemLog(t *testing.T) {
	var stderr bytes.Buffer
	t.Setenv("SUDO_USER", "alice")

	err := newLogger(config.Log{Level: config.LogError, Format: config.LogJSON}, &stderr).audit(noSystemLog, passwordRevealed, zap.String("tenant", "t-1"))

	must(t, err)
	var entry map[string]any
	must(t, json.Unmarshal(stderr.Bytes(), &entry))
	for key, want := range map[string]string{
		"level": "warn", "msg": "password revealed", "tenant": "t-1", "sudo_user": "alice",
		"system_log": "not written: no system log here",
	} {
		if entry[key] != want {
			t.Errorf("%s is %v, want %s", key, entry[key], want)
		}
	}
}

func TestAuditIsContentWithOneOfTwoLogs(t *testing.T) {
	discard := func() (io.WriteCloser, error) { return nopWriteCloser{}, nil }

	if err := newLogger(config.Log{}, brokenPipe{}).audit(discard, passwordRevealed); err != nil {
		t.Errorf("with a system log: %v", err)
	}
	if err := newLogger(config.Log{}, brokenPipe{}).audit(noSystemLog, passwordRevealed); err == nil || !strings.Contains(err.Error(), "it can be recorded nowhere") {
		t.Errorf("with neither: %v", err)
	}
}

type nopWriteCloser struct{}

func (nopWriteCloser) Write(p []byte) (int, error) { return len(p), nil }
func (nopWriteCloser) Close() error                { return nil }
