package main

import (
	"context"
	"fmt"
	"time"
)

// idle measures two idle daemons, one with its listener and one without.
func (b *bench) idle(ctx context.Context) error {
	kinds := []struct{ key, what, listen string }{
		{"idle", "idle daemon", "127.0.0.1:0"},
		{"idle-silent", "idle daemon, no listener", ""},
	}
	f := &fleet{prefix: "idle", tenants: b.size.Idle, age: young, mailus: anOrigin}
	var daemons []*process
	for _, kind := range kinds {
		f.listen = kind.listen
		if err := b.prepare(ctx, f); err != nil {
			return err
		}
		p, err := b.rotator(f)
		if err != nil {
			return err
		}
		defer p.kill()
		daemons = append(daemons, p)
		if _, err := p.swept(ctx); err != nil {
			return err
		}
	}
	if err := pause(ctx, b.size.Settle); err != nil {
		return err
	}
	before, err := usages(daemons)
	if err != nil {
		return err
	}
	if err := pause(ctx, b.size.Watch); err != nil {
		return err
	}
	after, err := usages(daemons)
	if err != nil {
		return err
	}
	for i, kind := range kinds {
		used := 100 * (after[i].cpu - before[i].cpu).Seconds() / b.size.Watch.Seconds()
		rss := row{Key: kind.key + "-rss", What: kind.what + ": RSS", Against: fmt.Sprintf("after a sweep of %s tenants", count(f.tenants)), Unit: "MB", Tolerance: 0.15,
			Note: fmt.Sprintf("%.1f MB of it are pages of the binary, which the kernel may drop", after[i].file)}
		b.add(rss.bounded(after[i].rss, 25))
		cpu := row{Key: kind.key + "-cpu", What: kind.what + ": CPU", Against: fmt.Sprintf("over %s", b.size.Watch), Unit: "%", Tolerance: 1}
		b.add(cpu.bounded(used, 0.1))
		b.add(row{
			Key: kind.key + "-wakeups", What: kind.what + ": wake-ups", Against: fmt.Sprintf("over %s", b.size.Watch), Unit: "",
			Measured: float64(after[i].wakeups - before[i].wakeups), Tolerance: 1,
		})
	}
	return nil
}

func usages(of []*process) (all []usage, err error) {
	for _, p := range of {
		u, err := usageOf(p.cmd.Process.Pid)
		if err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, nil
}

func pause(ctx context.Context, length time.Duration) error {
	select {
	case <-time.After(length):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
