package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// atTerminal starts the program with a terminal as its standard input and error, and its
// controlling terminal, whose other side is the returned screen.
func atTerminal(t *testing.T, s *site, args ...string) (p *program, screen *os.File) {
	t.Helper()
	screen, terminal := openTerminal(t)
	p = &program{ended: make(chan struct{})}
	p.cmd = exec.Command(s.binary, append(args, "--config", s.configFile())...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = terminal, &p.stdout, terminal
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s.launch(t, p)
	must(t, terminal.Close())
	go func() { _, _ = io.Copy(&p.stderr, screen) }() // ends with the program's side
	return p, screen
}

func TestRunOverEverythingAsksAtATerminal(t *testing.T) {
	for name, test := range map[string]struct {
		typed string
		goes  bool
	}{
		"y": {"y\n", true}, "yes": {" YES \n", true},
		"no": {"n\n", false}, "enter": {"\n", false}, "another word": {"yesterday\n", false},
		"the end of the input": {"\x04", false}, "Ctrl-C": {"\x03", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestSite(t)
			acme, old := s.mustSeed(t, "acme", "age=400"), s.mustSeed(t, "old", "age=1")
			must(t, s.writeConfig())

			p, screen := atTerminal(t, s, "--run-now")
			await(t, "the question", func() error {
				if !strings.Contains(p.stderr.String(), "2 tenants on 1 server will get a new password, in about 1s. Go on? [y/N] ") {
					return errors.New(p.stderr.String())
				}
				return nil
			})
			for _, who := range []*tenant{acme, old} {
				must(t, s.untouched(t.Context(), who))
			}
			_, err := screen.WriteString(test.typed)
			must(t, err)

			if test.goes {
				p.mustEnd(t, exitDone)
				must(t, s.rotated(t.Context(), acme))
				must(t, s.rotated(t.Context(), old))
				return
			}
			p.mustEnd(t, exitInterrupted)
			must(t, s.untouched(t.Context(), acme))
			must(t, s.untouched(t.Context(), old))
			await(t, "the end of the log", func() error {
				if said := p.stderr.String(); !strings.Contains(said, "\r\nnothing was changed\r\n") || !strings.Contains(said, "sweep interrupted") {
					return errors.New(said)
				}
				return nil
			})
			if p.stdout.String() != "" || strings.Contains(p.stderr.String(), "mailu-rotator: ") {
				t.Errorf("it printed more:\n%s%s", &p.stdout, &p.stderr)
			}
		})
	}
}

func TestRunAsksOnlyBeforeEverythingAtATerminal(t *testing.T) {
	s := newTestSite(t)
	acme := s.mustSeed(t, "acme", "age=400")
	must(t, s.writeConfig())
	future := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	for _, args := range [][]string{
		{"--run-now", "--dry-run"},
		{"--run-now", "--due-only"}, // it is due
		{"--run-now", "--tenant", acme.id},
		{"--run-now", "--yes"}, {"--run-now", "-y"},
		{"--run-now", "--rotated-before", "2000-01-01"}, // there is nothing to do
	} {
		p, _ := atTerminal(t, s, args...)
		p.mustEnd(t, exitDone)

		if strings.Contains(p.stderr.String(), "[y/N]") {
			t.Errorf("%q asks:\n%s", args, &p.stderr)
		}
	}
	for _, args := range [][]string{{"--run-now", "--rotated-before", future}, {"--run-now", "--limit", "1"}, {"--run-now", "--server", acme.mailu.Origin(), "--quiet"}} {
		p, screen := atTerminal(t, s, args...)
		await(t, "the question", func() error {
			if !strings.Contains(p.stderr.String(), "1 tenant on 1 server will get a new password") {
				return errors.New(p.stderr.String())
			}
			return nil
		})
		_, err := screen.WriteString("n\n")
		must(t, err)
		p.mustEnd(t, exitInterrupted)
	}
}

// Without a terminal on both sides nobody is asked: not in a pipe, and not with a log
// that goes elsewhere.
func TestRunAsksNobodyWithoutATerminal(t *testing.T) {
	for _, stream := range []string{"input", "log"} {
		t.Run(stream, func(t *testing.T) {
			s := newTestSite(t)
			acme := s.mustSeed(t, "acme", "age=400")
			must(t, s.writeConfig())
			screen, terminal := openTerminal(t)
			p := &program{ended: make(chan struct{})}
			p.cmd = exec.Command(s.binary, "--run-now", "--config", s.configFile())
			if stream == "input" {
				p.cmd.Stdin, p.cmd.Stderr = terminal, &p.stderr
			} else {
				p.cmd.Stderr = terminal
			}
			s.launch(t, p)
			must(t, terminal.Close())
			go func() { _, _ = io.Copy(io.Discard, screen) }()

			p.mustEnd(t, exitDone)

			must(t, s.rotated(t.Context(), acme))
		})
	}
}

func TestAnnouncementCountsWhatIsDoneAndHowLongItTakes(t *testing.T) {
	plan := func(a, b int) (all []sweep.Decision) {
		for origin, n := range map[rotator.Origin]int{"https://a.example": a, "https://b.example": b} {
			for range n {
				all = append(all, sweep.Decision{Action: rotator.Rotate, Candidate: rotator.Candidate{
					API: origin.Host(), Credential: rotator.Credential{Origin: origin},
				}})
			}
		}
		return append(all, sweep.Decision{Action: rotator.Leave, Candidate: rotator.Candidate{API: "c.example"}})
	}
	for _, test := range []struct {
		a, b, cores, width int
		want               string
	}{
		{0, 0, 2, 1, ""},
		{1, 0, 2, 1, "1 tenant on 1 server will get a new password, in about 1s. Go on?"},
		{100, 12, 4, 1, "112 tenants on 2 servers will get a new password, in about 35s. Go on?"},
		{2000, 1, 4, 1, "2,001 tenants on 2 servers will get a new password, in about 12m. Go on?"},
		{2000, 1, 16, 2, "2,001 tenants on 2 servers will get a new password, in about 6m. Go on?"},
		{10000, 10000, 1, 1, "20,000 tenants on 2 servers will get a new password, in about 1h23m. Go on?"}, // this host is slower
	} {
		mailu := &rotatortest.Mailu{Origins: []rotator.Origin{"https://a.example", "https://b.example"}, Width: test.width}
		if got := announcement(plan(test.a, test.b), mailu, test.cores); got != test.want {
			t.Errorf("got  %q\nwant %q", got, test.want)
		}
	}
}
