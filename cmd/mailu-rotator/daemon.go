package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"

	"mailu-rotator/internal/cluster"
	"mailu-rotator/internal/config"
	"mailu-rotator/internal/hook"
	"mailu-rotator/internal/monitor"
	"mailu-rotator/internal/notify"
	"mailu-rotator/internal/page"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
	"mailu-rotator/rotator/sweep"
	"mailu-rotator/vault"
)

// runDaemon sweeps by schedule, or is only a worker of the cluster, until SIGTERM or SIGINT; SIGHUP reloads the
// configuration, and keeps the old one if the new one is invalid.
func runDaemon(ctx context.Context, path string, onlyWorker bool, stderr io.Writer) error {
	s, err := newService(path, onlyWorker, stderr)
	if err != nil {
		return err
	}
	defer s.log().sync()
	defer s.systemd.Close()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)

	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(25) // the states of a million tenants stay in memory; Go's default would allow twice that
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.run(ctx)
	}()
	s.log().zap.Info("daemon started", zap.String("version", version), zap.String("config", path), zap.String("owner", s.app.Load().owner))
	s.notify((*notify.Socket).Ready)
	for {
		select {
		case <-hangup:
			s.notify((*notify.Socket).Reloading)
			err := s.reload(path, stderr)
			s.metrics.Reloaded(err == nil)
			s.systemd.Reloaded(err)
			s.cache.Reloaded(err)
			if err != nil {
				s.log().zap.Error("configuration refused, the old one stays", zap.Error(err))
			}
			s.notify((*notify.Socket).Ready) // the daemon runs in both cases
		case <-ended:
			closeHooks(ctx, s.hooks)
			s.log().zap.Info("daemon stopped")
			return nil
		}
	}
}

// service is a running daemon. A reload replaces its app; the other parts outlive it, with
// the tenants' states, the metrics, an open listener, queued hooks and a run under way.
type service struct {
	path string // of the configuration
	// onlyWorker is for a process that plans no sweep: it does what others plan, and
	// verifies the servers that it lists.
	onlyWorker bool
	app        atomic.Pointer[app]
	cache      *status.Cache
	metrics    *monitor.Metrics
	health     *monitor.Health
	server     *monitor.Server
	systemd    *notify.Socket
	hooks      *hook.Runner
	daemon     *sweep.Daemon
}

// newService makes a daemon. The caller must close its hooks and its systemd socket.
func newService(path string, onlyWorker bool, stderr io.Writer) (*service, error) {
	a, err := loadApp(path, stderr, nil)
	if err != nil {
		return nil, err
	}
	if onlyWorker && !a.clustered() {
		return nil, errors.New("a worker needs a cluster: cluster.engine is none")
	}
	listen, err := listenOf(a.cfg.Listen)
	if err != nil {
		return nil, err
	}
	defer listen.Token.Wipe()
	clock := rotator.SystemClock{}
	s := &service{path: path, onlyWorker: onlyWorker, cache: status.NewCache(clock), health: monitor.NewHealth(clock)}
	if s.systemd, err = notify.Open(clock); err != nil {
		return nil, err
	}
	s.metrics = monitor.NewMetrics(clock, s.cache, version, vault.Operations(), scopeOf(a.cfg, onlyWorker))
	s.server = monitor.NewServer(monitor.Options{
		Metrics: s.metrics, Health: s.health, Cache: s.cache,
		Page: page.New(page.Config{
			Snapshot: s.cache.Snapshot, Settings: s.pageSettings, Latency: s.metrics.Latency, Version: version,
		}),
		Listening: func(address net.Addr) { s.log().zap.Info("listening", zap.Stringer("address", address)) },
		Failing: func(err error, wait time.Duration) {
			s.log().zap.Error("not listening", zap.Error(err), zap.Duration("wait", wait))
		},
		ErrorLog: func(err error) { s.log().zap.Warn("request failed", zap.Error(err)) },
	}, listen)
	s.hooks = hook.Start(clock, hook.Settings{})
	s.connect(a)
	s.daemon = sweep.NewDaemon(clock, settingsOf(a, onlyWorker))
	return s, nil
}

// reload replaces the app, unless something that the configuration names is invalid. A
// run under way keeps its app.
func (s *service) reload(path string, stderr io.Writer) error {
	a, err := loadApp(path, stderr, s.app.Load())
	if err != nil {
		return err
	}
	listen, err := listenOf(a.cfg.Listen)
	if err != nil {
		return err
	}
	defer listen.Token.Wipe()
	s.connect(a) // nothing fails from here on
	s.metrics.Renew(scopeOf(a.cfg, s.onlyWorker))
	s.cache.LoginsAt(a.loginOrigins())
	s.daemon.Reload(settingsOf(a, s.onlyWorker))
	s.server.Reload(listen)
	return nil
}

// connect makes the app report to the service's parts, and then the service use it.
func (s *service) connect(a *app) {
	a.observe = observers(a.log.observe, s.cache.Observe, s.metrics.Observe, s.health.Observe, s.systemd.Observe)
	a.observeWork = observers(a.log.observe, s.cache.ObserveWork, s.metrics.Observe, s.health.Observe)
	if s.onlyWorker {
		a.observeWork = observers(a.observeWork, s.systemd.Observe)
	}
	a.cache, a.metrics = s.cache, s.metrics
	a.waiting = func(cause error) { s.systemd.Waiting(cause); s.cache.Waiting(cause) }
	a.replaced = make(chan struct{})
	if a.clustered() {
		a.ready = make(chan struct{})
	}
	attachHooks(s.hooks, a)
	if former := s.app.Swap(a); former != nil {
		close(former.replaced)
	}
}

// run runs the daemon, and the listener and systemd's watchdog beside it: until ctx ends
// and the shutdown is complete, so that rotations in flight are visible too.
func (s *service) run(ctx context.Context) {
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	var watchers sync.WaitGroup
	watchers.Go(func() { s.server.Run(watching) })
	watchers.Go(func() { s.systemd.Guard(watching, s.health.Live) })
	watchers.Go(func() { <-ctx.Done(); s.notify((*notify.Socket).Stopping) })
	var worker sync.WaitGroup
	worker.Go(func() { s.work(ctx) })
	s.daemon.Run(ctx)
	worker.Wait()
	stop()
	watchers.Wait()
}

// workPause is the pause before a worker tries again to reach NATS.
const workPause = 10 * time.Second

// work makes this process a worker of the cluster, if the configuration names one. After
// a reload it works by the new configuration, once the batches under way have ended.
func (s *service) work(ctx context.Context) {
	for ctx.Err() == nil {
		a := s.app.Load()
		current, stop := context.WithCancel(ctx)
		var reload sync.WaitGroup
		reload.Go(func() {
			select {
			case <-a.replaced:
				stop()
			case <-current.Done():
			}
		})
		watch := func(ctx context.Context, c *cluster.Cluster) { s.watch(ctx, a, c) }
		if !a.clustered() {
			s.cache.SawCluster(status.Cluster{})
			<-current.Done()
		} else if err := a.work(current, watch); err != nil && current.Err() == nil {
			a.log.clusterReports(err)
			s.cache.ClusterFailed(err)
			_ = rotator.SystemClock{}.Sleep(current, workPause)
		}
		stop()
		reload.Wait()
	}
}

// log is the current one; a reload may replace it.
func (s *service) log() *logger { return s.app.Load().log }

// notify sends systemd a message, if systemd asked for it.
func (s *service) notify(what func(*notify.Socket) error) {
	if err := what(s.systemd); err != nil {
		s.log().zap.Warn("systemd not told", zap.Error(err))
	}
}

func (s *service) pageSettings() page.Settings {
	cfg := s.app.Load().cfg
	r := cfg.Rotation
	settings := page.Settings{
		Timetable: timetableOf(r), DefaultPolicy: r.DefaultPolicy, AddFirst: addFirst(s.path, cfg),
		Command: func(args string) string { return commandLine(s.path, args) },
	}
	if !cfg.Verify.Schedule.Off() {
		settings.Verifications = timetableOf(r)
		settings.Verifications.Schedule = cfg.Verify.Schedule
	}
	return settings
}

func loadApp(path string, stderr io.Writer, former *app) (*app, error) {
	cfg, err := loadConfig(path)
	if err != nil {
		return nil, err
	}
	return newApp(cfg, stderr, former)
}

func loadConfig(path string) (*config.Config, error) {
	cfg, err := config.Load(path, getenv)
	if err != nil {
		return nil, err
	}
	return cfg, errors.Join(cfg.CheckFiles()...)
}

// settingsOf makes the settings of the daemon's runs. Their reports and findings go to
// the log, which does not name tenants without a change.
func settingsOf(a *app, onlyWorker bool) sweep.Settings {
	r := a.cfg.Rotation
	s := sweep.Settings{Timezone: r.Timezone, Jitter: r.Jitter, Window: r.Window, Observe: a.observe}
	if !onlyWorker {
		s.Schedule = r.Schedule
		s.Sweep = func(ctx context.Context, sel sweep.Selection, window time.Duration) error {
			defer debug.FreeOSMemory() // return the run's memory for the hours until the next one
			if a.clustered() {
				return a.sweepTogether(ctx, sel, window)
			}
			_, err := inSession(ctx, a, func(s *session) (sweep.Report, error) {
				s.OmitUnchanged = true
				return s.Run(ctx, sel, window)
			})
			return err
		}
		s.Pending = a.cache.Pending
		s.Lapsed = func(ctx context.Context, tenants []rotator.TenantID) (bool, error) {
			return inSession(ctx, a, func(s *session) (bool, error) { return s.Lapsed(ctx, tenants) })
		}
		s.Overdue = func() int { return a.cache.Overdue(timetableOf(r)) }
	}
	if !a.cfg.Verify.Schedule.Off() {
		s.VerifySchedule = a.cfg.Verify.Schedule
		s.Verify = func(ctx context.Context) error {
			defer debug.FreeOSMemory()
			sel := sweep.Selection{}
			if a.clustered() { // the other servers are those of other hosts
				sel.MayBeNobody = true
				for _, server := range a.cfg.Mailu.Servers {
					sel.Origins = append(sel.Origins, server.Origin)
				}
			}
			_, err := inSession(ctx, a, func(s *session) (sweep.VerifyReport, error) {
				if onlyWorker { // it does not learn what the sweeps do: what it has read would be taken for overdue
					s.Cache = nil
				}
				return s.Verify(ctx, sel, a.cfg.Verify.Repair)
			})
			return err
		}
	}
	return s
}

func listenOf(c config.Listen) (l monitor.Listen, err error) {
	l.PProf = c.PProf
	l.Network, l.Address = c.Endpoint()
	if c.TokenFile != "" && l.Network != "" {
		if l.Token, err = config.ReadSecret(c.TokenFile); err != nil {
			err = fmt.Errorf("listen.token_file: %w", err)
		}
	}
	return l, err
}

func scopeOf(c *config.Config, onlyWorker bool) monitor.Scope {
	scope := monitor.Scope{
		Timetable: timetableOf(c.Rotation),
		Method:    string(c.Vault.Auth.Method), TenantLabel: c.Listen.TenantLabel, OnlyWorker: onlyWorker,
	}
	for _, server := range c.Mailu.Servers {
		scope.Origins = append(scope.Origins, server.Origin)
	}
	return scope
}
