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
	"unicode"
	"unicode/utf8"
)

const (
	// searchPath is what a script may expect of a host.
	searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	maxOutput  = 4 << 10 // bytes of output that are kept; the rest is read and thrown away
	// stragglers is how long output is waited for once the program has ended, or
	// was killed: somebody else may hold it open.
	stragglers = time.Second
)

// run runs the program to its end, or to the end of its time.
func (j job) run(ctx context.Context) (output string, err error) {
	if err := j.check(j.argv[0]); err != nil {
		return "", fmt.Errorf("not run: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	var printed beginning
	cmd := exec.CommandContext(limited, j.argv[0], j.argv[1:]...)
	cmd.Env = []string{"PATH=" + searchPath, "MAILU_ROTATOR_HOOK=" + string(j.hook)}
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(j.document), &printed, &printed
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd) }
	cmd.WaitDelay = stragglers
	err = cmd.Run()
	if cmd.Process != nil {
		// What it left in the background would otherwise outlive it, and pile up.
		_ = killGroup(cmd) // mostly there is no such group any more
	}
	switch {
	case errors.Is(err, exec.ErrWaitDelay): // the program itself ended well
		err = nil
	case err != nil && ctx.Err() != nil:
		err = errors.New("killed: mailu-rotator had to end")
	case err != nil && limited.Err() != nil:
		err = fmt.Errorf("killed after hooks.timeout (%s), with all that it had started", j.timeout)
	}
	return printed.String(), err
}

func killGroup(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// beginning keeps the first bytes that are written to it.
type beginning struct {
	kept bytes.Buffer
	more bool
}

func (b *beginning) Write(p []byte) (int, error) {
	n := min(len(p), maxOutput-b.kept.Len())
	b.kept.Write(p[:n])
	b.more = b.more || n < len(p)
	return len(p), nil
}

// String is fit for a log: what could steer a terminal is replaced.
func (b *beginning) String() string {
	text := strings.TrimSpace(strings.Map(harmless, b.kept.String()))
	if b.more {
		text += " … (cut off)"
	}
	return text
}

func harmless(r rune) rune {
	if unicode.IsPrint(r) || r == '\n' || r == '\t' {
		return r
	}
	return utf8.RuneError
}
