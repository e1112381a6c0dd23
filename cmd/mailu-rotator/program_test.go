package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for something that should take a moment: long
// enough for a loaded machine under the race detector.
const patience = 3 * time.Minute

// program is the real program, running or ended.
type program struct {
	cmd            *exec.Cmd
	stdout, stderr output
	ended          chan struct{}
}

// output can be read while it is written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start runs the program with the site's configuration until it ends, or is killed with
// the test. It gets nothing from the environment.
func (s *site) start(t testing.TB, args ...string) *program {
	t.Helper()
	return s.startIn(t, nil, args...)
}

// startIn adds environment variables.
func (s *site) startIn(t testing.TB, environment []string, args ...string) *program {
	t.Helper()
	p := &program{ended: make(chan struct{})}
	p.cmd = exec.Command(s.binary, append(args, "--config", s.configFile())...)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, environment...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	s.launch(t, p)
	return p
}

func (s *site) launch(t testing.TB, p *program) {
	t.Helper()
	must(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // tests check the status themselves
	}()
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); <-p.ended })
	s.ledger.record(t.Name()+" stdout", p.stdout.String)
	s.ledger.record(t.Name()+" stderr", p.stderr.String)
}

func (p *program) signal(t *testing.T, s os.Signal) {
	t.Helper()
	must(t, p.cmd.Process.Signal(s))
}

// kill is a crash, which the program cannot handle.
func (p *program) kill(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	<-p.ended
}

// mustEnd waits for the end and checks the status.
func (p *program) mustEnd(t *testing.T, status int) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("still running after %s; it printed:\n%s%s", patience, &p.stdout, &p.stderr)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != status {
		t.Fatalf("exit status %d, want %d; it printed:\n%s%s", got, status, &p.stdout, &p.stderr)
	}
}

// mustLog waits until the log has that many lines with the message.
func (p *program) mustLog(t *testing.T, message string, times int) {
	t.Helper()
	await(t, message, func() error {
		if n := strings.Count(p.stderr.String(), `"msg":"`+message+`"`); n < times {
			return errors.New("logged too seldom so far:\n" + p.stderr.String())
		}
		return nil
	})
}

// await polls until check returns nil.
func await(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newTestSite is a provisioned site with one Mailu server, "one".
func newTestSite(t *testing.T) *site {
	t.Helper()
	t.Parallel()
	s := shared.newSite(t.TempDir())
	must(t, s.provision(t.Context()))
	_, err := s.startMailu("one")
	must(t, err)
	t.Cleanup(func() { must(t, s.leave()) })
	return s
}

func (s *site) mustSeed(t *testing.T, name string, settings ...string) *tenant {
	t.Helper()
	must(t, s.seed(t.Context(), name, settings...))
	return s.tenants[name]
}
