package vaulttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"mailu-rotator/test/child"
)

// errPortTaken: another process listens on Vault's port.
var errPortTaken = errors.New("port taken")

// process is a running server whose output is being read.
type process struct {
	cmd    *exec.Cmd
	output *output
	exited <-chan struct{}
}

// startProcess returns when the server reports on its output that it listens: a
// connection to the port could reach another server.
func startProcess(ctx context.Context, log io.Writer, binary string, args ...string) (*process, error) {
	p := &process{
		cmd:    exec.Command(binary, args...),
		output: &output{log: log, ready: make(chan struct{})},
	}
	// With the same writer for both, exec uses one pipe and one reader.
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	// None of the caller's VAULT_* or BAO_* may configure the server.
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir(), "TMPDIR=" + os.TempDir()}

	var err error
	if p.exited, err = child.Start(p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	select {
	case <-p.output.ready:
		return p, nil
	case <-p.exited:
		if p.output.contains("address already in use") {
			return nil, fmt.Errorf("%s: %w", binary, errPortTaken)
		}
		return nil, fmt.Errorf("%s ended instead of serving; it printed:\n%s", binary, p.output.tail())
	case <-ctx.Done():
		p.kill()
		return nil, fmt.Errorf("%s did not get ready: %w; it printed:\n%s", binary, context.Cause(ctx), p.output.tail())
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // error: it has already exited
	<-p.exited
}

func (p *process) stop(patience time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // error: it has already exited
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.kill()
	}
}

// output forwards the server's output, keeps its end for error messages, and detects
// when the server reports that it serves.
type output struct {
	log   io.Writer
	ready chan struct{}

	mu    sync.Mutex // guards the fields below
	kept  []byte
	found bool
}

// keptBytes is enough for Vault's start-up log, which has the reason for a failure.
const keptBytes = 16 << 10

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept = append(o.kept, b...)
	// "==> Vault server started!" and "==> OpenBao server started!".
	if !o.found && bytes.Contains(o.kept, []byte("server started!")) {
		o.found = true
		close(o.ready)
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
