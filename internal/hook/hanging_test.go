package hook_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailu-rotator/internal/hook"
	"mailu-rotator/rotator"
)

func TestTimeLimitEndsTheWholeGroup(t *testing.T) {
	socket, joined := listen(t)
	const enough = 5 * time.Second // for two processes to start
	b := newBench(t, enough, "hang-two", socket)

	b.Observe(rotator.Event{Name: rotator.TenantDone, Outcome: rotator.Rotated})
	first, second := <-joined, <-joined
	b.Close(context.Background())

	mustEnd(t, first)
	mustEnd(t, second)
	if len(b.results) != 1 || b.results[0].Err == nil || !strings.Contains(b.results[0].Err.Error(), "killed after hooks.timeout (5s)") {
		t.Errorf("got %+v", b.results)
	}
}

func TestWhatAProgramLeavesBehindEndsWithIt(t *testing.T) {
	socket, joined := listen(t)
	b := newBench(t, long, "leave", socket)

	b.Observe(rotator.Event{Name: rotator.TenantDone, Outcome: rotator.Rotated})
	b.Close(context.Background())

	mustEnd(t, <-joined)
	if len(b.results) != 1 || b.results[0].Err != nil {
		t.Errorf("got %+v", b.results)
	}
}

func TestEventsDoNotWaitForAProgramThatHangs(t *testing.T) {
	socket, joined := listen(t)
	b := newBench(t, long, "hang", socket)
	done := rotator.Event{Name: rotator.TenantDone, Outcome: rotator.Rotated}

	b.Observe(done)
	running := <-joined
	for range 999 {
		b.Observe(done)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.Close(ctx)

	mustEnd(t, running)
	if len(b.results) != 2 || b.results[0].Err == nil || !errors.Is(b.results[1].Err, hook.ErrDropped) || b.results[1].Dropped != 999 {
		t.Errorf("got %+v, want one killed and 999 dropped", b.results)
	}
}

// listen returns a socket and the processes that connect to it.
func listen(t *testing.T) (string, <-chan net.Conn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "hook") // a socket's path is at most 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	joined := make(chan net.Conn, 16)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			joined <- conn
		}
	}()
	t.Cleanup(func() { listener.Close(); <-ended; os.RemoveAll(dir) })
	return filepath.Join(dir, "socket"), joined
}

// mustEnd waits until the process at the other end has exited, which closes its
// connections.
func mustEnd(t *testing.T, conn net.Conn) {
	t.Helper()
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("still there: %v", err)
	}
}
