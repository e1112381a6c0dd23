package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTerminalShowsProgressAndWholeLogLines runs the program with stderr on a terminal
// and stdout in a pipe, as in `mailu-rotator --run-now | less`.
func TestTerminalShowsProgressAndWholeLogLines(t *testing.T) {
	s := newTestSite(t)
	for i := range 6 {
		s.mustSeed(t, fmt.Sprintf("tenant%d", i), "age=400")
	}
	must(t, s.writeConfig())
	screen, terminal := openTerminal(t)
	p := &program{ended: make(chan struct{})}
	p.cmd = exec.Command(s.binary, "--run-now", "--config", s.configFile())
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, terminal

	s.launch(t, p)
	must(t, terminal.Close())
	_, _ = io.Copy(&p.stderr, screen) // reading ends with EIO when the program closes its side
	p.mustEnd(t, exitDone)

	// The last step is not visible: the bar is removed at the end.
	if raw := p.stderr.String(); !regexp.MustCompile(`(?s)rotating +0% .*\(0/6.*rotating +83% .*\(5/6, \d+ tenants/\w+\) \[\w+:\w+\]`).MatchString(raw) {
		t.Errorf("no progress bar with counts, rate and time left:\n%q", raw)
	}
	logLine := regexp.MustCompile(`^\d\d:\d\d:\d\d\t(INFO|WARN|ERROR)\t[a-z ]+(\t\{.*\})?$`)
	lines := shown(p.stderr.String())
	for _, line := range lines {
		if !logLine.MatchString(line) {
			t.Errorf("left on the screen: %q", line)
		}
	}
	if len(lines) < 8 {
		t.Errorf("only %d log lines of a run over 6 tenants:\n%q", len(lines), lines)
	}
	if !strings.HasPrefix(p.stdout.String(), "TENANT ") || strings.ContainsAny(p.stdout.String(), "\r\x1b") {
		t.Errorf("stdout is not just the report:\n%q", &p.stdout)
	}
}

// openTerminal opens a pseudo-terminal (pty(7)): text written to the terminal comes out
// of the screen.
func openTerminal(t *testing.T) (screen, terminal *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { _ = screen.Close() })
	fd := int(screen.Fd())
	must(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	must(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 120}))
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	must(t, err)
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	return screen, terminal
}

// shown returns the final lines of a screen: it interprets the carriage return, after
// which the line is overwritten, and "erase the line".
func shown(raw string) (lines []string) {
	var line []rune
	column := 0
	flush := func() {
		if text := strings.TrimRight(string(line), " "); text != "" {
			lines = append(lines, text)
		}
		line, column = nil, 0
	}
	for _, r := range regexp.MustCompile("\x1b\\[[02]?K").ReplaceAllString(raw, "\v") {
		switch {
		case r == '\n':
			flush()
		case r == '\r':
			column = 0
		case r == '\v':
			line, column = nil, 0
		case column < len(line):
			line[column] = r
			column++
		default:
			line = append(line, r)
			column++
		}
	}
	flush()
	return lines
}
