package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"
)

// onTerminal returns what status prints to a terminal of 120 columns.
func onTerminal(t *testing.T, s *site, env []string, args ...string) string {
	t.Helper()
	screen, terminal := openTerminal(t)
	p := &program{ended: make(chan struct{})}
	p.cmd = exec.Command(s.binary, append(args, "--config", s.configFile())...)
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = terminal, &p.stderr
	s.launch(t, p)
	must(t, terminal.Close())
	var shown bytes.Buffer
	_, _ = io.Copy(&shown, screen) // reading ends with EIO when the program closes its side
	p.mustEnd(t, exitDone)
	s.ledger.record(t.Name()+" terminal", shown.String)
	return strings.ReplaceAll(shown.String(), "\r\n", "\n")
}

func TestTerminalShowsStatusInColorUnlessToldOtherwise(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "acme", "age=400")
	must(t, s.writeConfig())
	for _, test := range []struct {
		name string
		env  []string
		args []string
		want bool
	}{
		{"a terminal", []string{"TERM=xterm"}, nil, true},
		{"NO_COLOR", []string{"TERM=xterm", "NO_COLOR=1"}, nil, false},
		{"an empty NO_COLOR", []string{"TERM=xterm", "NO_COLOR="}, nil, true},
		{"a dumb terminal", []string{"TERM=dumb"}, nil, false},
		{"--color never", []string{"TERM=xterm"}, []string{"--color", "never"}, false},
		{"--color always", []string{"TERM=dumb", "NO_COLOR=1"}, []string{"--color", "always"}, true},
		{"csv", []string{"TERM=xterm"}, []string{"--output", "csv"}, false},
		{"json", []string{"TERM=xterm"}, []string{"--output", "json", "--color", "always"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := onTerminal(t, s, test.env, append([]string{"status"}, test.args...)...)

			if strings.Contains(got, "\x1b[1;31m") != test.want || strings.Contains(got, "\x1b") != test.want {
				t.Errorf("want color: %t, got\n%q", test.want, got)
			}
			if !strings.Contains(got, "overdue") {
				t.Errorf("no state:\n%q", got)
			}
		})
	}
}

func TestTerminalShowsOneLineForEachTenant(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "acme", "webmail_url=https://mail.elsewhere.example")
	must(t, s.writeConfig())

	table := onTerminal(t, s, []string{"TERM=xterm"}, "status")
	wide := onTerminal(t, s, []string{"TERM=xterm"}, "status", "--output", "wide")

	row := strings.Split(table, "\n")[4]
	if n := text.StringWidthWithoutEscSequences(row); n != 120 || !strings.HasSuffix(row, "…") {
		t.Errorf("a row of %d cells on a screen of 120: %s", n, row)
	}
	if !strings.Contains(wide, "or correct webmail_url in Vault\n") {
		t.Errorf("the wide table is cut as well:\n%s", wide)
	}
}

// TestStatusIsQuietWhereNobodyReadsOn is `mailu-rotator status | head -1`.
func TestStatusIsQuietWhereNobodyReadsOn(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "acme")
	must(t, s.writeConfig())
	for _, format := range []string{"table", "wide", "csv", "json"} {
		reader, writer, err := os.Pipe()
		must(t, err)
		must(t, reader.Close())
		p := &program{ended: make(chan struct{})}
		p.cmd = exec.Command(s.binary, "status", "--output", format, "--config", s.configFile())
		p.cmd.Stdout, p.cmd.Stderr = writer, &p.stderr

		s.launch(t, p)
		must(t, writer.Close())
		p.mustEnd(t, -1) // by a signal

		if signal := p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(); signal != syscall.SIGPIPE || p.stderr.String() != "" {
			t.Errorf("%s: ended by %s, and said %q", format, signal, &p.stderr)
		}
	}
}
