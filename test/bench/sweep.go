package main

import (
	"context"
	"fmt"
	"os/exec"
	"time"
)

// committed is what the program's log says of each tenant that was rotated.
const committed = "rotation committed"

// swept is what one sweep took.
type swept struct {
	took time.Duration
	cpu  time.Duration // of the process, from its start to the sweep's end
	peak float64       // MB
}

func (s swept) perSecond(tenants int) float64 { return float64(tenants) / s.took.Seconds() }

// cpuEach is the processor time of a tenant in microseconds.
func (s swept) cpuEach(tenants int) float64 { return float64(s.cpu.Microseconds()) / float64(tenants) }

// scanOnce is the sweep that a daemon begins with.
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

// bareOnce is what a bare client does to the fleet.
func (b *bench) bareOnce(ctx context.Context, role string, f *fleet) (s swept, err error) {
	p, err := b.bare(role, f)
	if err != nil {
		return s, err
	}
	return p.whole(ctx)
}

// whole waits for the sweep of a process that ends with it. Its peak is that at the
// sweep's end, as far as the process is still there then.
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

// runNow is an emergency run of the program, from the start of its sweep to the
// end. All tenants must have been rotated.
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

// rotated fails where not so many rotations were committed.
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

// bare starts a bare client on the fleet.
func (s *stage) bare(role string, f *fleet) (*process, error) {
	return s.startRole(role, bareTask{Vault: orElse(f.vault, s.vault.Addr), TokenFile: f.tokenFile, Prefix: f.prefix})
}

// swept waits for the end of a sweep and returns how long it took.
func (p *process) swept(ctx context.Context) (time.Duration, error) {
	begun, next, err := p.await(ctx, 0, named("sweep started", "recovery started"))
	if err != nil {
		return 0, err
	}
	ended, _, err := p.await(ctx, next, named("sweep finished", "recovery finished"))
	return ended.At.Sub(begun.At), err
}
