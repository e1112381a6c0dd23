package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// ErrPortTaken: another process listens on the server's port.
var ErrPortTaken = errors.New("port taken")

// Server is a running server whose output is being read.
type Server struct {
	cmd    *exec.Cmd
	output *output
	exited <-chan struct{}
}

// Serve starts a server and returns when it has printed every text of ready: a connection
// to its port could reach another server. Its output also goes to log, unless that is
// nil. The context bounds the start, not the server's life. The error wraps ErrPortTaken
// if the server ended for that reason.
func Serve(ctx context.Context, log io.Writer, binary string, args []string, ready ...string) (*Server, error) {
	s := &Server{
		cmd:    exec.Command(binary, args...),
		output: &output{log: log, awaited: slices.Clone(ready), ready: make(chan struct{})},
	}
	// With the same writer for both, exec uses one pipe and one reader.
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	// None of the caller's variables, such as VAULT_*, may configure the server.
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir(), "TMPDIR=" + os.TempDir()}

	var err error
	if s.exited, err = Start(s.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	select {
	case <-s.output.ready:
		return s, nil
	case <-s.exited:
		if s.output.contains("address already in use") {
			return nil, fmt.Errorf("%s: %w", binary, ErrPortTaken)
		}
		return nil, fmt.Errorf("%s ended instead of serving; it printed:\n%s", binary, s.output.tail())
	case <-ctx.Done():
		s.Kill()
		return nil, fmt.Errorf("%s did not get ready: %w; it printed:\n%s", binary, context.Cause(ctx), s.output.tail())
	}
}

// PID is the process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Kill ends the process immediately, like a crash, and waits until it is gone.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // error: it has already exited
	<-s.exited
}

// Stop ends the process in an orderly way, or by force after patience.
func (s *Server) Stop(patience time.Duration) {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // error: it has already exited
	_ = s.cmd.Process.Signal(syscall.SIGCONT) // a paused one obeys only then
	select {
	case <-s.exited:
	case <-time.After(patience):
		s.Kill()
	}
}

// Pause stops the process where it is, until Continue: its connections stay open and
// nothing is answered. It returns when every thread has stopped.
func (s *Server) Pause() error {
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("pause process %d: %w", s.PID(), err)
	}
	for s.hasRunningThread() {
		time.Sleep(time.Millisecond)
	}
	return nil
}

// Continue lets a paused process run on.
func (s *Server) Continue() error {
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return fmt.Errorf("continue process %d: %w", s.PID(), err)
	}
	return nil
}

// hasRunningThread reads Linux's /proc; elsewhere it finds none.
func (s *Server) hasRunningThread() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.PID())) // error: a bad pattern
	return slices.ContainsFunc(threads, func(file string) bool {
		stat, err := os.ReadFile(file)
		// "1234 (name) T ...": the name may have any characters.
		end := bytes.LastIndexByte(stat, ')')
		return err == nil && !bytes.HasPrefix(stat[end+1:], []byte(" T"))
	})
}

// FreePort returns an address of loopback on which nothing listens at the moment. The
// port is below those of outgoing connections on Linux, so that none takes it while the
// server is down.
func FreePort() (string, error) {
	const lowest, highest, tries = 16384, 32767, 100
	var err error
	for range tries {
		var l net.Listener
		l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", lowest+rand.IntN(highest-lowest+1)))
		if err == nil {
			defer l.Close()
			return l.Addr().String(), nil
		}
	}
	return "", fmt.Errorf("find a free port: %w", err)
}

// output forwards the server's output, keeps its end for error messages, and detects
// when the server reports that it serves.
type output struct {
	log   io.Writer
	ready chan struct{}

	mu      sync.Mutex // guards the fields below
	kept    []byte
	awaited []string // not printed yet
}

// keptBytes is enough for a server's start-up log, which has the reason for a failure.
const keptBytes = 16 << 10

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept = append(o.kept, b...)
	if len(o.awaited) > 0 {
		o.awaited = slices.DeleteFunc(o.awaited, func(text string) bool { return bytes.Contains(o.kept, []byte(text)) })
		if len(o.awaited) == 0 {
			close(o.ready)
		}
	}
	if extra := len(o.kept) - keptBytes; extra > 0 {
		o.kept = append(o.kept[:0], o.kept[extra:]...)
	}
	if o.log != nil {
		_, _ = o.log.Write(b) // for people; the needed part is kept above
	}
	return len(b), nil
}

func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.kept)
}

func (o *output) contains(s string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Contains(o.kept, []byte(s))
}
