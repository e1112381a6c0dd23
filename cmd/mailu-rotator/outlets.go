package main

import (
	"context"
	"errors"
	"os"
	"time"

	"go.uber.org/zap"

	"mailu-rotator/internal/config"
	"mailu-rotator/internal/hook"
	"mailu-rotator/rotator"
	"mailu-rotator/tracing"
)

// Time limits for hooks, and then for the export of traces, when the program stops.
// Together with rotation.shutdown_grace they must fit into TimeoutStopSec= of the unit.
const (
	hooksGrace  = 10 * time.Second
	tracesGrace = 5 * time.Second
)

// outlets are the receivers of a process's events beside its log, across reloads.
type outlets struct {
	hooks  *hook.Runner
	traces *tracing.Tracer // nil: traces are off
}

// openOutlets starts with the fleet. The caller must close it.
func openOutlets(f *fleet) *outlets {
	o := &outlets{hooks: hook.Start(rotator.SystemClock{}, hookSettings(f.cfg.Hooks, f.log))}
	var err error
	if o.traces, err = tracing.Start(os.Getenv, version, f.log.tracesFailed); err != nil {
		f.log.tracesFailed(err)
	}
	o.attach(f)
	return o
}

// attach connects the events of the fleet, which may be a reloaded one.
func (o *outlets) attach(f *fleet) {
	o.hooks.Reload(hookSettings(f.cfg.Hooks, f.log))
	for _, err := range lines(f.cfg.CheckHooks()) {
		f.log.zap.Warn("hook cannot be run", zap.Error(err))
	}
	f.hooks = o.hooks.Observe
	f.observe = observers(f.observe, o.hooks.Observe)
	if o.traces != nil {
		f.trace = tracers(f.trace, o.traces.Trace)
	}
}

// close waits for the remaining hooks, at most for their grace period after ctx has
// ended, and exports the remaining traces.
func (o *outlets) close(ctx context.Context) {
	patient, cancel := outlasting(ctx, hooksGrace)
	defer cancel()
	o.hooks.Close(patient)
	if o.traces == nil {
		return
	}
	brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), tracesGrace)
	defer cancel()
	o.traces.Close(brief)
}

func (l *logger) tracesFailed(err error) { l.zap.Warn("traces not exported", zap.Error(err)) }

// outlasting returns a context that ends that long after parent.
func outlasting(parent context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		_ = rotator.SystemClock{}.Sleep(ctx, grace) // ends early when cancelled
		cancel()
	})
	return ctx, func() { stop(); cancel() }
}

// refused runs the hooks of an attended run that could not start. For the daemon's runs
// this is an event.
func (f *fleet) refused(ctx context.Context, name rotator.EventName, err error) {
	if err != nil && ctx.Err() == nil {
		f.hooks(rotator.Event{Name: name, Err: err})
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
