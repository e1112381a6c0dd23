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

// How long hooks, and then the export of traces, may take once the program is to
// end. With rotation.shutdown_grace they have to fit into TimeoutStopSec= of the
// unit.
const (
	hooksGrace  = 10 * time.Second
	tracesGrace = 5 * time.Second
)

// outlets is where a process's events go beside its log, over all reloads.
type outlets struct {
	hooks  *hook.Runner
	traces *tracing.Tracer // nil: nobody asked for any
}

// openOutlets begins with the fleet. The caller closes it.
func openOutlets(f *fleet) *outlets {
	o := &outlets{hooks: hook.Start(rotator.SystemClock{}, hookSettings(f.cfg.Hooks, f.log))}
	var err error
	if o.traces, err = tracing.Start(os.Getenv, version, f.log.tracesFailed); err != nil {
		f.log.tracesFailed(err)
	}
	o.attach(f)
	return o
}

// attach makes the events of the fleet, which may be a reloaded one, come here
// as well.
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

// close waits for the hooks that are left, and no longer than their grace once
// ctx has ended, and exports what is left.
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

// outlasting returns a context that ends so long after parent.
func outlasting(parent context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		_ = rotator.SystemClock{}.Sleep(ctx, grace) // cut short when nobody waits any more
		cancel()
	})
	return ctx, func() { stop(); cancel() }
}

// refused tells the hooks of an attended run that could not take place. The
// daemon's is an event; this one is told to whoever attends.
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
