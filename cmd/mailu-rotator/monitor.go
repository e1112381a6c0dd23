package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"mailu-rotator/internal/config"
	"mailu-rotator/internal/monitor"
	"mailu-rotator/internal/notify"
	"mailu-rotator/internal/page"
	"mailu-rotator/rotator"
	"mailu-rotator/vault"
)

// watch is the daemon's monitoring. It outlives reloads.
type watch struct {
	board   *rotator.Board
	metrics *monitor.Metrics
	health  *monitor.Health
	server  *monitor.Server
	systemd *notify.Socket
	log     atomic.Pointer[logger] // a reload may replace it
	config  atomic.Pointer[config.Config]
}

// newWatch connects the daemon's fleet to its metrics, page and listener.
func newWatch(f *fleet) (*watch, error) {
	listen, err := listenOf(f.cfg.Listen)
	if err != nil {
		return nil, err
	}
	defer listen.Token.Wipe()
	clock := rotator.SystemClock{}
	w := &watch{board: rotator.NewBoard(clock), health: monitor.NewHealth(clock)}
	if w.systemd, err = notify.Open(clock); err != nil {
		return nil, err
	}
	w.metrics = monitor.NewMetrics(clock, w.board, version, vault.Operations(), scopeOf(f.cfg))
	w.log.Store(f.log)
	w.server = monitor.NewServer(monitor.Options{
		Metrics: w.metrics, Health: w.health, Board: w.board,
		Page: page.New(page.Config{
			Snapshot: w.board.Snapshot, Settings: w.pageSettings, Latency: w.metrics.Latency, Version: version,
		}),
		Listening: w.listening, Failing: w.failing, Complain: w.complain,
	}, listen)
	w.attach(f)
	return w, nil
}

// renew switches to the fleet that a reload has made.
func (w *watch) renew(f *fleet) error {
	listen, err := listenOf(f.cfg.Listen)
	if err != nil {
		return err
	}
	defer listen.Token.Wipe()
	w.log.Store(f.log)
	w.metrics.Renew(scopeOf(f.cfg))
	w.server.Reload(listen)
	w.attach(f)
	return nil
}

// attach is called before the listener runs, and by each reload.
func (w *watch) attach(f *fleet) {
	w.config.Store(f.cfg)
	method := string(f.cfg.Vault.Auth.Method)
	f.observe = observers(f.log.observe, w.board.Observe, w.metrics.Observe, w.health.Observe, w.systemd.Observe)
	f.meters = meters{
		board:        w.board,
		step:         w.metrics.Step,
		vaultRequest: w.metrics.VaultRequest,
		vaultToken:   func(expires time.Time) { w.metrics.VaultToken(method, expires) },
		mailuRequest: w.metrics.MailuRequest,
	}
}

// during runs the listener and systemd's watchdog while the daemon runs: until ctx ends
// and the shutdown is complete, so that rotations in flight are visible too.
func (w *watch) during(ctx context.Context, run func(context.Context)) {
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	var watchers sync.WaitGroup
	watchers.Go(func() { w.server.Run(watching) })
	watchers.Go(func() { w.systemd.Guard(watching, w.health.Live) })
	watchers.Go(func() { <-ctx.Done(); w.tell((*notify.Socket).Stopping) })
	run(ctx)
	stop()
	watchers.Wait()
}

// tell sends systemd a message, if systemd asked for it.
func (w *watch) tell(what func(*notify.Socket) error) {
	if err := what(w.systemd); err != nil {
		w.log.Load().zap.Warn("systemd not told", zap.Error(err))
	}
}

func (w *watch) listening(address net.Addr) {
	w.log.Load().zap.Info("listening", zap.Stringer("address", address))
}

func (w *watch) failing(err error, wait time.Duration) {
	w.log.Load().zap.Error("not listening", zap.Error(err), zap.Duration("wait", wait))
}

func (w *watch) complain(err error) {
	w.log.Load().zap.Warn("request failed", zap.Error(err))
}

func (w *watch) pageSettings() page.Settings {
	r := w.config.Load().Rotation
	return page.Settings{Timetable: timetableOf(r), DefaultPolicy: r.DefaultPolicy}
}

func listenOf(c config.Listen) (monitor.Listen, error) {
	network, address := c.Endpoint()
	l := monitor.Listen{Network: network, Address: address, PProf: c.PProf}
	if c.TokenFile == "" || network == "" {
		return l, nil
	}
	var err error
	if l.Token, err = config.ReadSecret(c.TokenFile); err != nil {
		return l, fmt.Errorf("listen.token_file: %w", err)
	}
	return l, nil
}

func scopeOf(c *config.Config) monitor.Scope {
	scope := monitor.Scope{
		Timetable: timetableOf(c.Rotation),
		Method:    string(c.Vault.Auth.Method), TenantLabel: c.Listen.TenantLabel,
	}
	for _, server := range c.Mailu.Servers {
		scope.Origins = append(scope.Origins, server.Origin)
	}
	return scope
}
