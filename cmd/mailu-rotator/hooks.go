package main

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"mailu-rotator/internal/config"
	"mailu-rotator/internal/hook"
	"mailu-rotator/rotator"
)

// hooksGrace is the time limit for hooks when the program stops. Together with
// rotation.shutdown_grace it must fit into TimeoutStopSec= of the unit.
const hooksGrace = 10 * time.Second

// attachHooks makes the hooks observe the app's runs. Programs that wait stay queued.
func attachHooks(hooks *hook.Runner, a *app) {
	hooks.Reload(hookSettings(a.cfg.Hooks, a.log))
	for _, err := range lines(a.cfg.CheckHooks()) {
		a.log.zap.Warn("hook cannot be run", zap.Error(err))
	}
	a.hooks = hooks.Observe
	a.observe = observers(a.observe, hooks.Observe)
}

// closeHooks waits for the remaining hooks, at most for their grace period after
// ctx has ended.
func closeHooks(ctx context.Context, hooks *hook.Runner) {
	ctx, cancel := outlasting(ctx, hooksGrace)
	defer cancel()
	hooks.Close(ctx)
}

// observers calls all of them, in this order.
func observers(all ...rotator.Observer) rotator.Observer {
	return func(e rotator.Event) {
		for _, observe := range all {
			observe(e)
		}
	}
}

// outlasting returns a context that ends that long after parent.
func outlasting(parent context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		_ = rotator.SystemClock{}.Sleep(ctx, grace) // ends early when cancelled
		cancel()
	})
	return ctx, func() { stop(); cancel() }
}

// refused runs the hooks of an operator's run that could not start. For the daemon's runs
// this is an event.
func (a *app) refused(ctx context.Context, name rotator.EventName, err error) {
	if err != nil && ctx.Err() == nil {
		a.hooks(rotator.Event{Name: name, Err: err})
	}
}

func hookSettings(h config.Hooks, log *logger) hook.Settings {
	return hook.Settings{
		Programs: map[hook.Name][]string{hook.AfterRotation: h.AfterRotation, hook.OnFailure: h.OnFailure, hook.AfterRun: h.AfterRun},
		Timeout:  h.Timeout,
		Check:    config.CheckProgram,
		Report:   log.hookEnded,
	}
}

func (l *logger) hookEnded(r hook.Result) {
	if errors.Is(r.Err, hook.ErrDropped) {
		l.zap.Warn("hooks dropped", zap.Int("hooks", r.Dropped), zap.Error(r.Err))
		return
	}
	fields := []zap.Field{
		zap.String("hook", string(r.Hook)), zap.String("program", r.Program),
		zap.Duration("took", r.Took.Round(time.Millisecond)), zap.String("output", r.Output),
	}
	if r.Tenant != "" {
		fields = append(fields, zap.String("tenant", r.Tenant))
	}
	if r.Err != nil {
		l.zap.Warn("hook failed", append(fields, zap.Error(r.Err))...)
		return
	}
	l.zap.Debug("hook finished", fields...)
}
