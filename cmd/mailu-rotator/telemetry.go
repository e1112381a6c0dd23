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
	"mailu-rotator/rotator/status"
	"mailu-rotator/vault"
)

// telemetry is the daemon's monitoring. It outlives reloads.
type telemetry struct {
	board   *status.Cache
	metrics *monitor.Metrics
	health  *monitor.Health
	server  *monitor.Server
	systemd *notify.Socket
	log     atomic.Pointer[logger] // a reload may replace it
	config  atomic.Pointer[config.Config]
}

// newTelemetry connects the daemon's app to its metrics, page and listener.
func newTelemetry(a *app) (*telemetry, error) {
	listen, err := listenOf(a.cfg.Listen)
	if err != nil {
		return nil, err
	}
	defer listen.Token.Wipe()
	clock := rotator.SystemClock{}
	t := &telemetry{board: status.NewCache(clock), health: monitor.NewHealth(clock)}
	if t.systemd, err = notify.Open(clock); err != nil {
		return nil, err
	}
	t.metrics = monitor.NewMetrics(clock, t.board, version, vault.Operations(), scopeOf(a.cfg))
	t.log.Store(a.log)
	t.server = monitor.NewServer(monitor.Options{
		Metrics: t.metrics, Health: t.health, Board: t.board,
		Page: page.New(page.Config{
			Snapshot: t.board.Snapshot, Settings: t.pageSettings, Latency: t.metrics.Latency, Version: version,
		}),
		Listening: t.listening, Failing: t.failing, ErrorLog: t.requestFailed,
	}, listen)
	t.connect(a)
	return t, nil
}

// reload switches to the app that a reload has made.
func (t *telemetry) reload(a *app) error {
	listen, err := listenOf(a.cfg.Listen)
	if err != nil {
		return err
	}
	defer listen.Token.Wipe()
	t.log.Store(a.log)
	t.metrics.Renew(scopeOf(a.cfg))
	t.server.Reload(listen)
	t.connect(a)
	return nil
}

// connect is called before the listener runs, and by each reload.
func (t *telemetry) connect(a *app) {
	t.config.Store(a.cfg)
	method := string(a.cfg.Vault.Auth.Method)
	a.observe = observers(a.log.observe, t.board.Observe, t.metrics.Observe, t.health.Observe, t.systemd.Observe)
	a.callbacks = callbacks{
		board:        t.board,
		step:         t.metrics.Step,
		vaultRequest: t.metrics.VaultRequest,
		vaultToken:   func(expires time.Time) { t.metrics.VaultToken(method, expires) },
		mailuRequest: t.metrics.MailuRequest,
	}
}

// runDuring runs the listener and systemd's watchdog while the daemon runs: until ctx ends
// and the shutdown is complete, so that rotations in flight are visible too.
func (t *telemetry) runDuring(ctx context.Context, run func(context.Context)) {
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	var watchers sync.WaitGroup
	watchers.Go(func() { t.server.Run(watching) })
	watchers.Go(func() { t.systemd.Guard(watching, t.health.Live) })
	watchers.Go(func() { <-ctx.Done(); t.notify((*notify.Socket).Stopping) })
	run(ctx)
	stop()
	watchers.Wait()
}

// notify sends systemd a message, if systemd asked for it.
func (t *telemetry) notify(what func(*notify.Socket) error) {
	if err := what(t.systemd); err != nil {
		t.log.Load().zap.Warn("systemd not told", zap.Error(err))
	}
}

func (t *telemetry) listening(address net.Addr) {
	t.log.Load().zap.Info("listening", zap.Stringer("address", address))
}

func (t *telemetry) failing(err error, wait time.Duration) {
	t.log.Load().zap.Error("not listening", zap.Error(err), zap.Duration("wait", wait))
}

func (t *telemetry) requestFailed(err error) {
	t.log.Load().zap.Warn("request failed", zap.Error(err))
}

func (t *telemetry) pageSettings() page.Settings {
	r := t.config.Load().Rotation
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
