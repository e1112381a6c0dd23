package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"mailu-rotator/internal/text"
)

const (
	// searchPath is the PATH that a script may expect on any host.
	searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	maxOutput  = 4 << 10 // bytes of output that are kept; the rest is read and thrown away
	// waitDelay is how long to wait for output after the program has ended or was
	// killed: another process may hold the pipe open.
	waitDelay = time.Second
)

// run runs the program until it ends or its time limit passes.
func (j job) run(ctx context.Context) (output string, err error) {
	if err := j.check(j.argv[0]); err != nil {
		return "", fmt.Errorf("not run: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	var printed limitedBuffer
	cmd := exec.CommandContext(limited, j.argv[0], j.argv[1:]...)
	cmd.Env = []string{"PATH=" + searchPath, "MAILU_ROTATOR_HOOK=" + string(j.hook)}
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(j.document), &printed, &printed
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd) }
	cmd.WaitDelay = waitDelay
	err = cmd.Run()
	if cmd.Process != nil {
		// Background processes of the hook would otherwise outlive it and pile up.
		_ = killGroup(cmd) // usually the group no longer exists
	}
	switch {
	case errors.Is(err, exec.ErrWaitDelay): // the program itself succeeded
		err = nil
	case err != nil && ctx.Err() != nil:
		err = errors.New("killed: mailu-rotator had to end")
	case err != nil && limited.Err() != nil:
		err = fmt.Errorf("killed after hooks.timeout (%s), with all that it had started", j.timeout)
	}
	return printed.String(), err
}

func killGroup(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// limitedBuffer keeps the first bytes written to it.
type limitedBuffer struct {
	kept bytes.Buffer
	more bool
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	n := min(len(p), maxOutput-b.kept.Len())
	b.kept.Write(p[:n])
	b.more = b.more || n < len(p)
	return len(p), nil
}

// String makes the output safe for a log.
func (b *limitedBuffer) String() string {
	kept := text.Escape(strings.TrimSpace(b.kept.String()))
	if b.more {
		kept += " … (cut off)"
	}
	return kept
}
