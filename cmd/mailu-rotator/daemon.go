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
)

// runDaemon sweeps by schedule until SIGTERM or SIGINT; SIGHUP reloads the
// configuration, and keeps the old one if the new one is invalid.
func runDaemon(ctx context.Context, path string, stderr io.Writer) error {
	fleet, log, err := loadFleet(path, stderr, nil)
	if err != nil {
		return err
	}
	defer log.sync()
	watch, err := newWatch(fleet)
	if err != nil {
		return err
	}
	defer watch.systemd.Close()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)

	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // the states of a million tenants stay in memory; Go's default would allow twice that
	}
	hooks := startHooks(fleet)
	daemon := rotator.NewDaemon(rotator.SystemClock{}, settingsOf(fleet))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		watch.during(ctx, daemon.Run)
	}()
	log.zap.Info("daemon started", zap.String("version", version), zap.String("config", path), zap.String("owner", fleet.owner))
	watch.tell((*notify.Socket).Ready)
	for {
		select {
		case <-hangup:
			watch.tell((*notify.Socket).Reloading)
			renewed, renewedLog, err := loadFleet(path, stderr, fleet)
			if err == nil {
				err = watch.renew(renewed)
			}
			watch.metrics.Reloaded(err == nil)
			if err != nil {
				log.zap.Error("configuration refused, the old one stays", zap.Error(err))
			} else {
				fleet, log = renewed, renewedLog
				attachHooks(hooks, fleet)
				daemon.Reload(settingsOf(fleet))
			}
			watch.tell((*notify.Socket).Ready) // the daemon runs in both cases
		case <-ended:
			closeHooks(ctx, hooks)
			log.zap.Info("daemon stopped")
			return nil
		}
	}
}

// loadFleet reads and checks everything that a configuration names.
func loadFleet(path string, stderr io.Writer, former *fleet) (*fleet, *logger, error) {
	cfg, err := loadConfig(path)
	if err != nil {
		return nil, nil, err
	}
	log := newLogger(cfg.Log, stderr)
	f, err := newFleet(cfg, log, former)
	return f, log, err
}

func loadConfig(path string) (*config.Config, error) {
	cfg, err := config.Load(path, getenv)
	if err != nil {
		return nil, err
	}
	return cfg, cfg.CheckFiles()
}

func settingsOf(f *fleet) rotator.Settings {
	s := rotator.Settings{
		Schedule: f.cfg.Rotation.Schedule,
		Timezone: f.cfg.Rotation.Timezone,
		Jitter:   f.cfg.Rotation.Jitter,
		Window:   f.cfg.Rotation.Window,
		Observe:  f.observe,
		Sweep:    f.sweep,
		Pending:  f.meters.board.Pending,
		Lapsed:   f.lapsed,
		Overdue:  func() int { return f.meters.board.Overdue(timetableOf(f.cfg.Rotation)) },
	}
	if !f.cfg.Verify.Schedule.Off() {
		s.VerifySchedule, s.Verify = f.cfg.Verify.Schedule, f.verify
	}
	return s
}
