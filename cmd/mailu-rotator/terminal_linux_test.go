package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/sys/unix"

	"mailu-rotator/vault"
	"mailu-rotator/vault/vaulttest"
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

func TestDoctorIsColoredOnATerminalUnlessNO_COLORIsSet(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "acme")
	must(t, s.writeConfig())

	for env, colored := range map[string]bool{"": true, "NO_COLOR=1": false, "NO_COLOR=": true, "TERM=dumb": false} {
		screen, terminal := openTerminal(t)
		p := &program{ended: make(chan struct{})}
		p.cmd = exec.Command(s.binary, "doctor", "--config", s.configFile())
		p.cmd.Env = []string{env}
		p.cmd.Stdout, p.cmd.Stderr = terminal, &p.stderr
		s.launch(t, p)
		must(t, terminal.Close())
		var shown bytes.Buffer
		_, _ = io.Copy(&shown, screen) // reading ends with EIO when the program closes its side
		p.mustEnd(t, exitDone)
		s.ledger.record(t.Name()+" screen", shown.String)

		if got := strings.Contains(shown.String(), "\x1b[32m✓\x1b[0m"); got != colored || !strings.Contains(shown.String(), "✓") {
			t.Errorf("%q: colored is %t, want %t:\n%s", env, got, colored, &shown)
		}
	}
}

// TestDoctorFindsVaultSealed has its own Vault, since sealing the shared one would stop
// all other tests.
func TestDoctorFindsVaultSealed(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "acme")
	own := sealedVault(t)
	s.address = own.Addr
	must(t, s.writeConfig())

	p := s.start(t, "doctor")
	p.mustEnd(t, exitCannotRun)

	out := p.stdout.String()
	for _, want := range []string{"✓ initialised", "✗ unsealed", "→ vault operator unseal", "– login", "✓ http://"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

func sealedVault(t *testing.T) *vaulttest.Server {
	t.Helper()
	own := vaulttest.Run(t, vaulttest.Options{})
	must(t, own.Seal(t.Context()))
	return own
}

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

// onTerminal returns what a command prints to a terminal of 120 columns.
func onTerminal(t *testing.T, s *site, status int, env []string, args ...string) string {
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
	p.mustEnd(t, status)
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
			got := onTerminal(t, s, exitDone, test.env, append([]string{"status"}, test.args...)...)

			if strings.Contains(got, "\x1b[1;31m") != test.want || strings.Contains(got, "\x1b") != test.want {
				t.Errorf("want color: %t, got\n%q", test.want, got)
			}
			if !strings.Contains(got, "overdue") {
				t.Errorf("no state:\n%q", got)
			}
		})
	}
}

func TestTerminalShowsWholeReasons(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "acme", "webmail_url=https://mail.elsewhere.example")
	must(t, s.writeConfig())
	for command, status := range map[string]int{"status": exitDone, "verify": exitFailures, "--run-now": exitFailures} {
		t.Run(command, func(t *testing.T) {
			got := onTerminal(t, s, status, []string{"TERM=xterm"}, command)

			for _, line := range strings.Split(got, "\n") {
				if n := text.StringWidthWithoutEscSequences(line); n > 120 && !strings.Contains(line, "--run-now --rotated-before") {
					t.Errorf("a line of %d cells on a screen of 120: %s", n, line)
				}
			}
			words := strings.Join(strings.Fields(got), " ")
			if !strings.Contains(words, "list the server with its token, or correct webmail_url in Vault") || strings.Contains(words, "…") {
				t.Errorf("the reason is cut:\n%s", got)
			}
			if len(regexp.MustCompile(`(?m)^ {40,}\S`).FindAllString(got, -1)) < 2 {
				t.Errorf("the reason is not wrapped:\n%s", got)
			}
		})
	}
	t.Run("wide", func(t *testing.T) {
		if wide := onTerminal(t, s, exitDone, []string{"TERM=xterm"}, "status", "--output", "wide"); !strings.Contains(wide, ": list the server with its token, or correct webmail_url in Vault\n") {
			t.Errorf("the wide table is wrapped as well:\n%s", wide)
		}
	})
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
	if !strings.HasPrefix(p.stdout.String(), "6 tenants: 6 ok in ") || strings.ContainsAny(p.stdout.String(), "\r\x1b") {
		t.Errorf("stdout is not just the result:\n%q", &p.stdout)
	}
}

func TestTenantRemoveAsksOnATerminal(t *testing.T) {
	s := newTestSite(t)
	acme := s.mustSeed(t, "acme", "age=20")
	s.mustSeed(t, "beta", "age=20")
	policy, err := vault.RemovingPolicy(vault.Config{
		Address: s.address, Mount: s.name, Prefix: "smtp", Leaf: "admin", Transit: vault.Transit{Mount: "transit", Key: "smtp-master"},
	})
	must(t, err)
	must(t, s.vault.WritePolicy(t.Context(), s.name+"-remove", policy))
	must(t, s.issueToken(t.Context(), s.name+"-remove"))
	must(t, s.writeConfig())

	for _, test := range []struct {
		typed  string
		status int
	}{{"no\n", exitInterrupted}, {"\n", exitInterrupted}, {"\x04", exitInterrupted}, {"interrupt", exitInterrupted}, {"yes\n", exitDone}} {
		screen, terminal := openTerminal(t)
		p := &program{ended: make(chan struct{})}
		p.cmd = exec.Command(s.binary, "tenant", "remove", acme.id, "--config", s.configFile())
		p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = terminal, &p.stdout, terminal
		s.launch(t, p)
		must(t, terminal.Close())
		asked := readUntil(t, screen, " [y/N] ")
		for _, want := range []string{"delete " + s.name + "/smtp/" + acme.id + "/admin with all versions, for good?", "its user in Mailu, " + acme.user + " on " + acme.mailu.Origin() + ", is left as it is"} {
			if !strings.Contains(asked, want) {
				t.Errorf("%q is not in %q", want, asked)
			}
		}
		if test.typed == "interrupt" {
			p.signal(t, syscall.SIGINT)
		} else {
			_, err := io.WriteString(screen, test.typed)
			must(t, err)
		}
		_, _ = io.Copy(&p.stderr, screen) // reading ends with EIO when the program closes its side
		p.mustEnd(t, test.status)
		if test.status != exitDone {
			must(t, s.untouched(t.Context(), acme))
		}
	}
	must(t, s.removed(t.Context(), acme))
}

// `yes | mailu-rotator tenant remove` is no answer of a person.
func TestTenantRemoveAsksNoPipe(t *testing.T) {
	s := newTestSite(t)
	acme := s.mustSeed(t, "acme", "age=20")
	must(t, s.writeConfig())
	screen, terminal := openTerminal(t)
	p := &program{ended: make(chan struct{})}
	p.cmd = exec.Command(s.binary, "tenant", "remove", acme.id, "--config", s.configFile())
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = strings.NewReader("yes\n"), &p.stdout, terminal

	s.launch(t, p)
	must(t, terminal.Close())
	_, _ = io.Copy(&p.stderr, screen) // reading ends with EIO when the program closes its side
	p.mustEnd(t, exitCannotRun)

	if !strings.Contains(p.stderr.String(), "there is no terminal: say --yes") {
		t.Errorf("got %s", &p.stderr)
	}
}

// readUntil returns what the screen shows up to this text.
func readUntil(t *testing.T, screen io.Reader, end string) string {
	t.Helper()
	var shown strings.Builder
	for one := make([]byte, 1); !strings.HasSuffix(shown.String(), end); {
		if _, err := screen.Read(one); err != nil {
			t.Fatalf("%v after %q", err, shown.String())
		}
		shown.WriteByte(one[0])
	}
	return shown.String()
}
