package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/test/child"
)

// worker is a running `mailu-rotator worker`.
type worker struct {
	cmd    *exec.Cmd
	exited <-chan struct{}
	log    *narrator
}

// startWorker returns when the planners know of the worker. The caller must stop it.
func (s *stage) startWorker(ctx context.Context, name string) (*worker, error) {
	w := &worker{cmd: s.command(ctx, "worker"), log: &narrator{name: name}}
	w.cmd.Stderr = w.log
	var err error
	if w.exited, err = child.Start(w.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	for len(w.log.tenantsOf(rotator.WorkerReady)) == 0 {
		select {
		case <-w.exited:
			return nil, fmt.Errorf("%s ended instead of working: %s", name, w.cmd.ProcessState)
		case <-ctx.Done():
			w.stop()
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return w, nil
}

// kill ends the worker as a crash does.
func (w *worker) kill() {
	_ = w.cmd.Process.Kill() // error: it has already exited
	<-w.exited
}

// stop ends the worker in an orderly way, or by force after a while.
func (w *worker) stop() {
	_ = w.cmd.Process.Signal(syscall.SIGTERM) // error: it has already exited
	select {
	case <-w.exited:
	case <-time.After(10 * time.Second):
		w.kill()
	}
}

// event is what is shown of a line of a log.
type event struct {
	Msg     rotator.EventName `json:"msg"`
	Tenant  string            `json:"tenant"`
	User    string            `json:"user"`
	Run     string            `json:"run"`
	Tenants int               `json:"tenants"`
	Error   string            `json:"error"`
}

func (e event) String() string {
	parts := []string{string(e.Msg), e.User, e.Run, e.Error}
	if e.Tenants != 0 {
		parts = append(parts, fmt.Sprint(e.Tenants, " tenants"))
	}
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), "  ")
}

// narrator takes a process's log, prints a short line for each of its events, and
// remembers them.
type narrator struct {
	name string

	mu     sync.Mutex // guards the fields below
	rest   []byte     // of an incomplete line
	events []event
}

// Write implements io.Writer.
func (n *narrator) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rest = append(n.rest, b...)
	for {
		line, rest, whole := bytes.Cut(n.rest, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		n.rest = rest
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			fmt.Printf("%-8s  %s\n", n.name, line)
			continue
		}
		n.events = append(n.events, e)
		fmt.Printf("%-8s  %s\n", n.name, e)
	}
}

// tenantsOf returns the tenants of the events with this name, each once.
func (n *narrator) tenantsOf(name rotator.EventName) (all []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		if e.Msg == name && !slices.Contains(all, e.Tenant) {
			all = append(all, e.Tenant)
		}
	}
	return all
}

func (n *narrator) rotated() []string { return n.tenantsOf(rotator.RotationCommitted) }
