package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"mailu-rotator/test/child"
	"mailu-rotator/test/faultproxy"
)

// process is one instance of the program, restarted when it ends. It has its own
// proxies in front of Vault and each Mailu, so that a fault affects only this instance.
type process struct {
	name   string
	binary string
	args   []string
	daemon bool
	deaf   bool    // its standard error loses its reader
	gates  []*gate // Vault's first

	atVault, atMailu []*gate  // the same
	mailus           []string // the addresses behind the others
	log              *eventLog

	unread   atomic.Bool // the reader is lost
	told     atomic.Bool // the process was told to stop
	listed   atomic.Pointer[time.Time]
	findings []finding // of run, which returns before they are read

	mu  sync.Mutex // guards cmd
	cmd *exec.Cmd  // nil if none is running

	clustered
}

// gate is one proxy with the classification of its requests.
type gate struct {
	*faultproxy.Proxy
	watch watch
}

func (s *stage) newGate(target string) (*gate, error) {
	var roots *x509.CertPool
	if s.nodes != nil {
		roots = s.nodes.CAs
	}
	proxy, err := faultproxy.NewProxyTrusting(target, roots)
	if err != nil {
		return nil, err
	}
	return &gate{Proxy: proxy, watch: watch{observer: s.observer}}, nil
}

// trap is a fault for one request, at the first gate that it reaches.
type trap struct {
	spent    atomic.Bool
	struck   chan struct{} // closed when it has
	withdraw []func()
}

// lay sets a trap for the next request that wanted selects. It calls then with the
// request when the fault strikes.
func lay(gates []*gate, wanted func(sighting) bool, fault faultproxy.Fault, then func(sighting)) *trap {
	t := &trap{struck: make(chan struct{})}
	for _, g := range gates {
		f := fault
		f.Times = 1
		var met sighting // of the request that calls Then; the fault is used up by it
		f.Match = func(r *http.Request) bool {
			met = g.watch.see(r)
			return wanted(met) && t.spent.CompareAndSwap(false, true)
		}
		f.Then = func() {
			then(met)
			close(t.struck)
		}
		t.withdraw = append(t.withdraw, g.Inject(f))
	}
	return t
}

// await waits for the trap for a limited time, and reports whether it struck.
func (t *trap) await(ctx context.Context, patience time.Duration) bool {
	select {
	case <-t.struck:
		return true
	case <-ctx.Done():
	case <-time.After(patience):
	}
	return false
}

// take removes the trap where it has not struck.
func (t *trap) take() {
	for _, withdraw := range t.withdraw {
		withdraw()
	}
}

// kill is a crash, which the program cannot handle.
func (p *process) kill() bool { return p.signal(syscall.SIGKILL) }

// tell stops the process in an orderly way.
func (p *process) tell() bool {
	p.told.Store(true)
	return p.signal(syscall.SIGTERM)
}

func (p *process) signal(what syscall.Signal) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd != nil && p.cmd.Process.Signal(what) == nil
}

// run keeps a process running until ctx ends, and then stops it in an orderly way. It
// returns an error if the process does not stop.
func (p *process) run(ctx context.Context, rng *rand.Rand) error {
	for ctx.Err() == nil {
		if err := p.once(ctx, rng); err != nil {
			return err
		}
		pause(ctx, p.rest+between(rng, 0, 300*time.Millisecond))
	}
	return nil
}

// farewell limits how long a process may take to stop: its grace time, and a margin for
// a loaded machine.
const farewell = time.Minute

func (p *process) once(ctx context.Context, rng *rand.Rand) error {
	cmd := p.command()
	started, ended := func() {}, func() {}
	if p.deaf {
		var err error
		if started, ended, err = p.listen(cmd, rng); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	exited, err := p.start(cmd)
	started()
	defer ended()
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	select {
	case <-exited:
		p.judgeEnd(cmd.ProcessState)
		return nil
	case <-ctx.Done():
	}
	return p.end(cmd, exited)
}

func (p *process) command() *exec.Cmd {
	cmd := exec.Command(p.binary, p.args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.Stderr = p.log
	if p.dress != nil {
		p.dress(cmd)
	}
	return cmd
}

// end stops the process in an orderly way.
func (p *process) end(cmd *exec.Cmd, exited <-chan struct{}) error {
	p.tell() // it may just have ended
	select {
	case <-exited:
		p.judgeEnd(cmd.ProcessState)
		return nil
	case <-time.After(farewell):
		p.kill()
		<-exited
		return fmt.Errorf("%s did not end within %s of SIGTERM; its log ends with:\n%s", p.name, farewell, p.log.tail())
	}
}

func (p *process) start(cmd *exec.Cmd) (<-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told.Store(false)
	p.work.starts()
	exited, err := child.Start(cmd)
	p.cmd = cmd
	p.log.tally.add("processes", p.name)
	return exited, err
}

// eventLog counts the events in the program's standard error, and keeps the last lines.
type eventLog struct {
	tally *tally
	copy  io.Writer   // receives everything
	heard func(event) // receives each event; may be nil
	mu    sync.Mutex  // guards the fields below
	rest  []byte      // of an incomplete line
	lines [][]byte
}

// keptLines is enough to show a process's last actions.
const keptLines = 30

func (l *eventLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.copy.Write(b); err != nil {
		return 0, err
	}
	l.rest = append(l.rest, b...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(b), nil
		}
		l.note(slices.Clone(line))
		l.rest = rest
	}
}

// hear replaces the receiver of events.
func (l *eventLog) hear(f func(event)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = f
}

func (l *eventLog) note(line []byte) {
	l.lines = append(l.lines, line)
	if len(l.lines) > keptLines {
		l.lines = l.lines[1:]
	}
	var e event
	if json.Unmarshal(line, &e) != nil { // a line cut off by a kill
		return
	}
	l.tally.add("events", e.Message)
	if e.Message == "tenant done" {
		l.tally.add("outcomes", e.Outcome)
	}
	if strings.HasSuffix(e.Message, " refused") && bytes.Contains(line, []byte("this host's clock is")) {
		l.tally.add("clock", refusedByGuard)
	}
	if l.heard != nil {
		l.heard(e)
	}
}

// event is a line of the program's log.
type event struct {
	Message string    `json:"msg"`
	Time    time.Time `json:"time"`
	Tenant  string    `json:"tenant"`
	Outcome string    `json:"outcome"`
	Wait    string    `json:"wait"`
}

// refusedByGuard counts the sweeps refused because a clock was more than 5 minutes off.
const refusedByGuard = "sweeps refused by the clock guard"

func (l *eventLog) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.Join(l.lines, []byte("\n")))
}

// pause returns early when ctx ends.
func pause(ctx context.Context, length time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(length):
	}
}
