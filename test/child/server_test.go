package child_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"mailu-rotator/test/child"
)

// serve runs a shell script that says when it is ready.
func serve(t *testing.T, script string, ready ...string) (*child.Server, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	s, err := child.Serve(ctx, nil, "/bin/sh", []string{"-c", script}, ready...)
	if err == nil {
		t.Cleanup(s.Kill)
	}
	return s, err
}

func TestServeTellsWhyItFailed(t *testing.T) {
	t.Setenv("SERVER_SETTING", "of the caller")
	for name, c := range map[string]struct {
		script, want string
		taken        bool
	}{
		"another reason":      {"echo up; echo no such luck; exit 3", "no such luck", false},
		"its port is taken":   {"echo listen: address already in use; exit 1", "port taken", true},
		"none of our setting": {"echo setting=${SERVER_SETTING:-none}", "setting=none", false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := serve(t, c.script, "up", "ready")

			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, child.ErrPortTaken) != c.taken {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestServerThatIsNeverReadyIsKilled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()

	_, err := child.Serve(ctx, nil, "/bin/sh", []string{"-c", "echo pid=$$; exec sleep 60"}, "ready")

	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want %v", err, context.DeadlineExceeded)
	}
	_, pid, _ := strings.Cut(strings.TrimSpace(err.Error()), "pid=")
	if _, err := os.Stat("/proc/" + pid); pid == "" || err == nil {
		t.Errorf("process %q is left", pid)
	}
}

func TestPauseReturnsWhenTheProcessStands(t *testing.T) {
	s, err := serve(t, "echo ready; while :; do :; done", "ready")
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if err := s.Pause(); err != nil {
			t.Fatal(err)
		}
		if state := stateOf(t, s); state != "T" {
			t.Fatalf("its state is %s, want T (stopped)", state)
		}
		if err := s.Continue(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

// stateOf reads it from Linux's /proc.
func stateOf(t *testing.T, s *child.Server) string {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return string(rest[:1])
}

func TestDisobedientServerIsKilled(t *testing.T) {
	s, err := serve(t, "trap '' TERM; echo ready; while :; do sleep 0.1; done", "ready")
	if err != nil {
		t.Fatal(err)
	}

	s.Stop(100 * time.Millisecond)

	if err := s.Pause(); err == nil {
		t.Fatal("the process is left")
	}
}
