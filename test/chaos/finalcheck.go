package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"mailu-rotator/test/child"
)

// finalState is the state after everything has stopped.
type finalState struct {
	findings  []finding
	lockedOut int
	pending   int
	stuck     int // finished only when named with --tenant
	repaired  int // by verify --repair, after a stray push
	missed    int // tenants that a night missed, each counted once
}

// finalCheck ends the faults, lets one undisturbed run finish the rest, runs some nights, and
// checks the result.
func (s *stage) finalCheck(ctx context.Context) (r finalState, err error) {
	for _, p := range s.processes {
		for _, g := range p.gates {
			g.Clear()
			g.Settle()
		}
	}
	for _, server := range s.mailus {
		server.Settle()
	}
	if err := s.restoreVault(ctx); err != nil {
		return r, err
	}
	if s.cluster {
		stop, failed := s.restWorkers(ctx)
		if failed != nil {
			return r, failed
		}
		defer func() {
			err = errors.Join(err, stop())
			for _, p := range s.workers() {
				r.findings = append(r.findings, p.findings...)
			}
		}()
	}
	if err := s.endExpiry(ctx); err != nil {
		return r, fmt.Errorf("end the expiry of records: %w", err)
	}
	if err := s.undisturbed(ctx, &r); err != nil {
		return r, err
	}
	if err := s.repairStrays(ctx, &r); err != nil {
		return r, err
	}
	if s.cluster {
		if err := s.emergencies(ctx, &r); err != nil {
			return r, err
		}
	}
	if err := s.nights(ctx, &r); err != nil {
		return r, err
	}
	err = s.eachRecord(ctx, func(t *tenant, rec record) {
		if rec.pending != "" {
			r.pending++
		}
		if !t.mailu.Accepts(t.user, rec.current) {
			r.lockedOut++
		}
	})
	return r, err
}

// eachRecord calls show with each tenant's record.
func (s *stage) eachRecord(ctx context.Context, show func(*tenant, record)) error {
	for _, t := range s.tenants {
		rec, err := s.eyes.read(ctx, t.id, 0)
		if err != nil {
			return err
		}
		show(t, rec)
	}
	return nil
}

// undisturbed is a run that must leave nothing half-finished, except tenants that were
// taken over so often that they must be named.
func (s *stage) undisturbed(ctx context.Context, r *finalState) error {
	status, output, err := s.runProgram(ctx, "--run-now", "--due-only")
	if err != nil {
		return err
	}
	named := []string{"--run-now", "--due-only"}
	err = s.eachRecord(ctx, func(t *tenant, rec record) {
		if rec.takeovers() >= maxTakeovers {
			named = append(named, "--tenant", t.id)
			r.stuck++
		}
	})
	if err != nil {
		return err
	}
	if r.stuck > 0 {
		status, output, err = s.runProgram(ctx, named...)
	}
	r.want(status, "the undisturbed run", output)
	return err
}

// maxTakeovers is the limit that docs/architecture.md names.
const maxTakeovers = 6

// repairStrays lets the program repair the effects of stray pushes, and only those.
func (s *stage) repairStrays(ctx context.Context, r *finalState) error {
	named := []string{"verify", "--repair"}
	err := s.eachRecord(ctx, func(t *tenant, rec record) {
		if t.excused() && !t.mailu.Accepts(t.user, rec.current) {
			named = append(named, "--tenant", t.id)
			r.repaired++
		}
	})
	if err != nil || r.repaired == 0 {
		return err
	}
	status, output, err := s.runProgram(ctx, named...)
	r.want(status, "verify --repair", output)
	return err
}

// want reports any exit status other than status as a broken promise.
func (r *finalState) want(status int, of, output string) {
	if status != 0 {
		r.findings = append(r.findings, finding{at: time.Now(), what: fmt.Sprintf("%s ended with status %d:\n%s", of, status, output)})
	}
}

// runProgram runs the program without proxies and returns its output.
func (s *stage) runProgram(ctx context.Context, args ...string) (status int, output string, err error) {
	var printed bytes.Buffer
	cmd := exec.Command(s.program, append(args, "--config", s.restConfig())...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&printed, &s.leaks), s.newLog()
	exited, err := child.Start(cmd)
	if err != nil {
		return 0, "", err
	}
	select {
	case <-exited:
	case <-ctx.Done():
		_ = cmd.Process.Signal(syscall.SIGKILL)
		<-exited
		return 0, "", errors.Join(fmt.Errorf("%s %v", s.program, args), ctx.Err())
	}
	return cmd.ProcessState.ExitCode(), printed.String(), nil
}
