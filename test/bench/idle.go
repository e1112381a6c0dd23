package main

import (
	"context"
	"fmt"
	"time"
)

// idle measures a daemon between two sweeps.
func (b *bench) idle(ctx context.Context) error {
	f := &fleet{prefix: "idle", tenants: b.size.Idle, age: young, mailus: anOrigin, listen: "127.0.0.1:0"}
	if err := b.prepare(ctx, f); err != nil {
		return err
	}
	daemon, err := b.rotator(f)
	if err != nil {
		return err
	}
	defer daemon.kill()
	if _, err := daemon.swept(ctx); err != nil {
		return err
	}
	if err := pause(ctx, b.size.Settle); err != nil {
		return err
	}
	before, err := usageOf(daemon.cmd.Process.Pid)
	if err != nil {
		return err
	}
	if err := pause(ctx, b.size.Watch); err != nil {
		return err
	}
	after, err := usageOf(daemon.cmd.Process.Pid)
	if err != nil {
		return err
	}
	used := 100 * (after.cpu - before.cpu).Seconds() / b.size.Watch.Seconds()
	rss := row{
		Key: "idle-rss", What: "idle daemon: RSS", Against: fmt.Sprintf("after a sweep of %s tenants", count(f.tenants)), Unit: "MB", Tolerance: 0.15,
		Note: fmt.Sprintf("%.1f MB of it are pages of the binary, which the kernel may drop", after.file),
	}
	b.add(rss.bounded(after.rss, 25))
	cpu := row{Key: "idle-cpu", What: "idle daemon: CPU", Against: fmt.Sprintf("over %s", b.size.Watch), Unit: "%", Tolerance: 1}
	b.add(cpu.bounded(used, 0.1))
	b.add(row{
		Key: "idle-wakeups", What: "idle daemon: wake-ups", Against: fmt.Sprintf("over %s", b.size.Watch), Unit: "",
		Measured: float64(after.wakeups - before.wakeups), Tolerance: 1,
	})
	return nil
}

func pause(ctx context.Context, length time.Duration) error {
	select {
	case <-time.After(length):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
