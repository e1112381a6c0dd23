package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"go.uber.org/zap"

	"mailu-rotator/internal/config"
	"mailu-rotator/internal/notify"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// runDaemon sweeps by schedule until SIGTERM or SIGINT; SIGHUP reloads the
// configuration, and keeps the old one if the new one is invalid.
func runDaemon(ctx context.Context, path string, stderr io.Writer) error {
	app, log, err := loadApp(path, stderr, nil)
	if err != nil {
		return err
	}
	defer log.sync()
	telemetry, err := newTelemetry(app)
	if err != nil {
		return err
	}
	defer telemetry.systemd.Close()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)

	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // the states of a million tenants stay in memory; Go's default would allow twice that
	}
	hooks := startHooks(app)
	daemon := sweep.NewDaemon(rotator.SystemClock{}, settingsOf(app))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		telemetry.runDuring(ctx, daemon.Run)
	}()
	log.zap.Info("daemon started", zap.String("version", version), zap.String("config", path), zap.String("owner", app.owner))
	telemetry.notify((*notify.Socket).Ready)
	for {
		select {
		case <-hangup:
			telemetry.notify((*notify.Socket).Reloading)
			renewed, renewedLog, err := loadApp(path, stderr, app)
			if err == nil {
				err = telemetry.reload(renewed)
			}
			telemetry.metrics.Reloaded(err == nil)
			if err != nil {
				log.zap.Error("configuration refused, the old one stays", zap.Error(err))
			} else {
				app, log = renewed, renewedLog
				attachHooks(hooks, app)
				daemon.Reload(settingsOf(app))
			}
			telemetry.notify((*notify.Socket).Ready) // the daemon runs in both cases
		case <-ended:
			closeHooks(ctx, hooks)
			log.zap.Info("daemon stopped")
			return nil
		}
	}
}

// loadApp reads and checks everything that a configuration names.
func loadApp(path string, stderr io.Writer, former *app) (*app, *logger, error) {
	cfg, err := loadConfig(path)
	if err != nil {
		return nil, nil, err
	}
	log := newLogger(cfg.Log, stderr)
	a, err := newApp(cfg, log, former)
	return a, log, err
}

func loadConfig(path string) (*config.Config, error) {
	cfg, err := config.Load(path, getenv)
	if err != nil {
		return nil, err
	}
	return cfg, cfg.CheckFiles()
}

func settingsOf(a *app) sweep.Settings {
	s := sweep.Settings{
		Schedule: a.cfg.Rotation.Schedule,
		Timezone: a.cfg.Rotation.Timezone,
		Jitter:   a.cfg.Rotation.Jitter,
		Window:   a.cfg.Rotation.Window,
		Observe:  a.observe,
		Sweep:    a.sweep,
		Pending:  a.callbacks.board.Pending,
		Lapsed:   a.lapsed,
		Overdue:  func() int { return a.callbacks.board.Overdue(timetableOf(a.cfg.Rotation)) },
	}
	if !a.cfg.Verify.Schedule.Off() {
		s.VerifySchedule, s.Verify = a.cfg.Verify.Schedule, a.verify
	}
	return s
}
