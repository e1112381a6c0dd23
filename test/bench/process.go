package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"time"

	"mailu-rotator/test/child"
)

// event is a line of JSON that a process wrote: a log line of the program, or a message
// of a role. At is when it was read here.
type event struct {
	At     time.Time       `json:"-"`
	Msg    string          `json:"msg"`
	Origin string          `json:"origin"`
	Error  string          `json:"error"`
	Of     json.RawMessage `json:"of"` // additional data of a role
}

// process is a child process; it is killed when this process ends.
type process struct {
	cmd     *exec.Cmd
	log     *eventLog
	started time.Time
	exited  <-chan struct{}
}

// start runs a command that writes events to standard error.
func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, log: &eventLog{grown: make(chan struct{})}, started: time.Now()}
	cmd.Stderr = p.log
	var err error
	if p.exited, err = child.Start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// await returns the first matching event, from the given number on, and the number of
// the next one.
func (p *process) await(ctx context.Context, from int, wanted func(event) bool) (event, int, error) {
	for {
		events, grown := p.log.since(from)
		for i, e := range events {
			if wanted(e) {
				return e, from + i + 1, nil
			}
		}
		from += len(events)
		select {
		case <-grown:
		case <-ctx.Done():
			return event{}, from, ctx.Err()
		case <-p.exited:
			if late, _ := p.log.since(from); len(late) > 0 {
				continue // written just before it ended
			}
			return event{}, from, fmt.Errorf("%s ended early (%s); it said last:\n%s", p.cmd, p.cmd.ProcessState, p.log.tail())
		}
	}
}

func named(messages ...string) func(event) bool {
	return func(e event) bool { return slices.Contains(messages, e.Msg) }
}

// wait returns when the process has ended by itself, with the expected status.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.exited:
	case <-ctx.Done():
		p.kill()
		return ctx.Err()
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s: exit status %d; it said last:\n%s", p.cmd, code, p.log.tail())
	}
	return nil
}

// kill ends the process immediately; it may already have ended.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// eventLog receives the output of a process.
type eventLog struct {
	mu     sync.Mutex // guards the fields below
	rest   []byte     // of an incomplete line
	events []event
	last   []byte
	grown  chan struct{} // closed when events has grown
}

const keptBytes = 4 << 10 // size of the kept end of the output

// Write implements io.Writer.
func (l *eventLog) Write(b []byte) (int, error) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = append(l.last, b...)
	l.last = l.last[max(0, len(l.last)-keptBytes):]
	l.rest = append(l.rest, b...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			break
		}
		var e event
		if json.Unmarshal(line, &e) == nil { // other lines are only kept
			e.At = now
			l.events = append(l.events, e)
		}
		l.rest = rest
	}
	close(l.grown)
	l.grown = make(chan struct{})
	return len(b), nil
}

func (l *eventLog) since(from int) (events []event, grown <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.events[min(from, len(l.events)):], l.grown
}

func (l *eventLog) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.last)
}
