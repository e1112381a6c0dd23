package main

import (
	"context"
	"fmt"
	"os/exec"
	"time"
)

// committed is the program's log message for each rotated tenant.
const committed = "rotation committed"

// swept is the cost of one sweep.
type swept struct {
	took time.Duration
	cpu  time.Duration // of the process, from its start to the sweep's end
	peak float64       // MB
}

func (s swept) perSecond(tenants int) float64 { return float64(tenants) / s.took.Seconds() }

// cpuEach is the processor time per tenant in microseconds.
func (s swept) cpuEach(tenants int) float64 { return float64(s.cpu.Microseconds()) / float64(tenants) }

// scanOnce measures the first sweep of a daemon.
func (b *bench) scanOnce(ctx context.Context, f *fleet) (s swept, err error) {
	p, err := b.rotator(f)
	if err != nil {
		return s, err
	}
	defer p.kill()
	if s.took, err = p.swept(ctx); err != nil {
		return s, err
	}
	u, err := usageOf(p.cmd.Process.Pid)
	s.peak = u.peak
	s.cpu = cpuOf(p.cmd.Process.Pid)
	return s, err
}

// baselineOnce measures a bare client's run over the fleet.
func (b *bench) baselineOnce(ctx context.Context, role string, f *fleet) (s swept, err error) {
	p, err := b.baseline(role, f)
	if err != nil {
		return s, err
	}
	return p.whole(ctx)
}

// whole waits for the sweep of a process that exits after it. The peak is that at the
// end of the sweep, if the process still exists then.
func (p *process) whole(ctx context.Context) (s swept, err error) {
	defer p.kill()
	if s.took, err = p.swept(ctx); err != nil {
		return s, err
	}
	if u, err := usageOf(p.cmd.Process.Pid); err == nil {
		s.peak = u.peak
	}
	if err := p.wait(ctx); err != nil {
		return s, err
	}
	s.cpu = p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	return s, nil
}

// runNow measures an emergency run of the program, from the start to the end of its
// sweep. It fails unless all tenants were rotated.
func (b *bench) runNow(ctx context.Context, f *fleet) (s swept, err error) {
	p, err := b.rotator(f, "--run-now")
	if err != nil {
		return s, err
	}
	if s, err = p.whole(ctx); err != nil {
		return s, err
	}
	return s, p.rotated(f.tenants)
}

// rotated fails unless that many rotations were committed.
func (p *process) rotated(want int) error {
	events, _ := p.log.since(0)
	n := 0
	for _, e := range events {
		if e.Msg == committed {
			n++
		}
	}
	if n != want {
		return fmt.Errorf("%d of %d tenants were rotated; the program said last:\n%s", n, want, p.log.tail())
	}
	return nil
}

// rotator starts the program on the fleet.
func (s *stage) rotator(f *fleet, args ...string) (*process, error) {
	args = append(args, "--config", f.config)
	line := onAllCores(s.program, args...)
	if f.apart {
		line = onOwnCores(s.program, args...)
	}
	return start(exec.Command(line[0], line[1:]...))
}

// baseline starts a bare client on the fleet.
func (s *stage) baseline(role string, f *fleet) (*process, error) {
	return s.startRole(role, baselineTask{Vault: orElse(f.vault, s.vault.Addr), TokenFile: f.tokenFile, Prefix: f.prefix})
}

// swept waits for the end of a sweep and returns its duration.
func (p *process) swept(ctx context.Context) (time.Duration, error) {
	begun, next, err := p.await(ctx, 0, named("sweep started", "recovery started"))
	if err != nil {
		return 0, err
	}
	ended, _, err := p.await(ctx, next, named("sweep finished", "recovery finished"))
	return ended.At.Sub(begun.At), err
}
