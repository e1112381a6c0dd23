package main

import (
	"bytes"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// TestRawPasswordEndsItsLineOnATerminalOnly: the other half, a pipe, is in
// testdata/script/show_reveal.txt.
func TestRawPasswordEndsItsLineOnATerminalOnly(t *testing.T) {
	s := newTestSite(t)
	acme := s.mustSeed(t, "acme")
	must(t, s.writeConfig())
	screen, terminal := openTerminal(t)
	cmd := exec.Command(s.binary, "show", acme.id, "--reveal", "--raw", "--config", s.configFile())
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = terminal, &stderr

	must(t, cmd.Start())
	must(t, terminal.Close())
	var shown bytes.Buffer
	_, _ = io.Copy(&shown, screen) // reading ends with EIO when the program closes its side
	must(t, cmd.Wait())

	s.ledger.record(t.Name()+" stderr", stderr.String)
	rest, err := s.ledger.recordRevealed(t.Name()+" screen", shown.String(), acme.first)
	if err != nil || rest != "\r\n" {
		t.Errorf("beside the password: %q, %v", rest, err)
	}
	if !strings.Contains(stderr.String(), `"tty":"/dev/pts/`) {
		t.Errorf("the event does not name the terminal: %s", &stderr)
	}
}
