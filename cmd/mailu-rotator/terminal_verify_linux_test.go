package main

import (
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

func TestTerminalShowsTheProgressOfAVerification(t *testing.T) {
	s := newTestSite(t)
	for i := range 6 {
		s.mustSeed(t, fmt.Sprintf("tenant%d", i))
	}
	must(t, s.writeConfig())
	screen, terminal := openTerminal(t)
	p := &program{ended: make(chan struct{})}
	p.cmd = exec.Command(s.binary, "verify", "--config", s.configFile())
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, terminal

	s.launch(t, p)
	must(t, terminal.Close())
	_, _ = io.Copy(&p.stderr, screen) // reading ends with EIO when the program closes its side
	p.mustEnd(t, exitDone)

	if raw := p.stderr.String(); !regexp.MustCompile(`(?s)verifying +0% .*\(0/6`).MatchString(raw) {
		t.Errorf("no progress bar:\n%q", raw)
	}
	for _, line := range shown(p.stderr.String()) {
		if strings.Contains(line, "verifying") {
			t.Errorf("left on the screen: %q", line)
		}
	}
	if !strings.HasPrefix(p.stdout.String(), "TENANT ") || strings.ContainsAny(p.stdout.String(), "\r\x1b") {
		t.Errorf("stdout is not just the result:\n%q", &p.stdout)
	}
}
