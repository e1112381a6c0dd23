package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"mailu-rotator/crypto"
	"mailu-rotator/internal/config"
	"mailu-rotator/internal/hook"
	"mailu-rotator/internal/monitor"
	"mailu-rotator/mailu"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
	"mailu-rotator/rotator/sweep"
	"mailu-rotator/vault"
)

// app is everything that one configuration describes, ready to run.
type app struct {
	cfg       *config.Config
	login     *vault.Login
	passwords *crypto.Generator
	owner     string
	log       *logger
	observe   rotator.Observer
	hooks     rotator.Observer // part of observe
	// observeWork receives the events of batches that this process does as a worker.
	observeWork rotator.Observer
	ready       chan struct{}     // of a daemon that is a worker: closed when planners know of it
	replaced    chan struct{}     // of the daemon: closed when a reload has replaced the app
	patience    time.Duration     // for a Vault that does not answer; 0: vault's default
	opening     time.Duration     // the same, until it is logged in; 0: patience
	cache       *status.Cache     // of the daemon, else nil
	metrics     *monitor.Metrics  // likewise
	waiting     func(cause error) // of the daemon: Vault is waited for
}

// newApp wires a configuration. former may be nil; a reload passes the app that it
// replaces, because a wrapped secret-id can be unwrapped only once.
func newApp(cfg *config.Config, stderr io.Writer, former *app) (*app, error) {
	passwords, err := crypto.NewGenerator(cfg.Password.Recipe())
	if err != nil {
		return nil, fmt.Errorf("password: %w", err)
	}
	a := &app{cfg: cfg, passwords: passwords, owner: newOwner()}
	if former != nil {
		a.owner = former.owner
	}
	if former != nil && former.cfg.Vault.Auth == cfg.Vault.Auth {
		a.login = former.login
	} else if a.login, err = vault.NewLogin(authOf(cfg.Vault.Auth)); err != nil {
		return nil, err
	}
	a.log = newLogger(cfg.Log, stderr) // last: it takes over the reports of lost lines
	a.observe = a.log.observe
	return a, nil
}

func (a *app) verify(ctx context.Context, sel sweep.Selection, repair, full bool) (sweep.VerifyReport, error) {
	return inSession(ctx, a, func(s *session) (sweep.VerifyReport, error) {
		s.Full = full
		return s.Verify(ctx, sel, repair)
	})
}

// newOwner names this process in claims, uniquely among processes, hosts and boots.
func newOwner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	return fmt.Sprintf("%s/%d/%x", host, os.Getpid(), id)
}

// session is a sweep with its login to Vault and its Mailu servers.
type session struct {
	*sweep.Sweep
	*mailu.Servers
	vault *vault.Client
}

func inSession[R any](ctx context.Context, a *app, do func(*session) (R, error)) (result R, err error) {
	servers, err := a.servers()
	if err != nil {
		return result, err
	}
	defer servers.Close()
	client, err := a.open(ctx)
	if err != nil {
		return result, err
	}
	defer a.end(client)
	return do(&session{a.sweepOn(client, servers), servers, client})
}

// open logs in to Vault; the session outlives the time limit.
func (a *app) open(ctx context.Context) (*vault.Client, error) {
	if a.opening > 0 {
		limited, cancel := context.WithTimeout(ctx, a.opening)
		defer cancel()
		ctx = limited
	}
	return vault.Open(ctx, a.vaultConfig(), a.login)
}

func (a *app) sweepOn(client *vault.Client, servers *mailu.Servers) *sweep.Sweep {
	r := a.cfg.Rotation
	s := &sweep.Sweep{
		Store: client, Keys: client, Time: client, Mailu: servers,
		Clock: rotator.SystemClock{}, NewPassword: a.passwords.Generate, DefaultPolicy: r.DefaultPolicy.WithSpread(r.Spread),
		Owner: a.owner, ClaimTTL: r.ClaimTTL, Workers: r.Workers, Cores: computingCores(), Canary: r.Canary, Grace: r.ShutdownGrace,
		Observe: a.observe, Cache: a.cache,
	}
	if a.metrics != nil {
		s.OnStep = a.metrics.Step
	}
	return s
}

func (a *app) vaultConfig() vault.Config {
	c := vaultConfigOf(a.cfg.Vault)
	c.Workers = a.cfg.Rotation.Workers
	c.Patience = a.patience
	c.OnWait = func(cause error, pause time.Duration) {
		a.log.vaultWaits(cause, pause)
		if a.waiting != nil {
			a.waiting(cause)
		}
	}
	if a.metrics != nil {
		c.OnRequest = a.metrics.VaultRequest
		c.OnToken = func(expires time.Time) { a.metrics.VaultToken(string(a.cfg.Vault.Auth.Method), expires) }
	}
	return c
}

func vaultConfigOf(v config.Vault) vault.Config {
	return vault.Config{
		Address: v.Address, OtherAddresses: v.OtherAddresses, Namespace: v.Namespace, CAFile: v.CAFile,
		Mount: v.Mount, Prefix: v.Prefix, Leaf: v.Leaf,
		Transit: vault.Transit(v.Transit),
	}
}

// recordArgs returns the arguments that name a tenant's record to `vault kv`.
func recordArgs(v config.Vault, tenant string) string {
	return fmt.Sprintf("-mount=%s %s/%s/%s", v.Mount, v.Prefix, tenant, v.Leaf)
}

func authOf(a config.Auth) vault.Auth {
	return vault.Auth{
		Method: vault.Method(a.Method), Mount: a.Mount,
		Token: a.Token, TokenFile: a.TokenFile,
		RoleIDFile: a.RoleIDFile, SecretIDFile: a.SecretIDFile, SecretIDWrapped: a.SecretIDWrapped,
		Role: a.Role, JWTFile: a.JWTFile, CertFile: a.CertFile, KeyFile: a.KeyFile,
		ReadSecret: config.ReadSecret, ReadJWT: config.ReadServiceAccountToken,
	}
}

// servers reads the tokens again, so that a replaced token takes effect in the next
// run. A server whose token cannot be read is excluded from the run.
func (a *app) servers() (*mailu.Servers, error) {
	configs := make([]mailu.ServerConfig, len(a.cfg.Mailu.Servers))
	for i, c := range a.cfg.Mailu.Servers {
		token, err := config.ReadSecret(c.TokenFile)
		if err != nil {
			err = fmt.Errorf("token of %s: %w", c.Origin, err)
		}
		configs[i] = mailu.ServerConfig{
			Origin: c.Origin, APIURL: c.APIURL, Token: token, Unusable: err, CAFile: c.CAFile, AllowHTTP: c.AllowHTTP,
			MaxConcurrent: c.MaxConcurrent, Timeout: c.Timeout, Verify: mailu.Verify(c.Verify), Login: mailu.Login(c.Login),
		}
	}
	options := mailu.Options{UserAgent: "mailu-rotator/" + version}
	if a.metrics != nil {
		options.OnRequest = a.metrics.MailuRequest
	}
	return mailu.New(configs, options)
}

// origins are the servers of the configuration.
func (a *app) origins() []rotator.Origin {
	all := make([]rotator.Origin, len(a.cfg.Mailu.Servers))
	for i, s := range a.cfg.Mailu.Servers {
		all[i] = s.Origin
	}
	return all
}

// loginOrigins are those with mail services to log in to.
func (a *app) loginOrigins() (all []rotator.Origin) {
	for _, s := range a.cfg.Mailu.Servers {
		if s.Login != (config.Login{}) {
			all = append(all, s.Origin)
		}
	}
	return all
}

// operatorPatience is how long one call waits for Vault while an operator watches; the
// daemon waits longer.
const operatorPatience = time.Minute

// runOnce does work once for an operator who watches: with a progress bar on a terminal,
// until a signal interrupts it. If the interrupt left nothing to print, runOnce returns
// it as the error.
func runOnce(cmd *cobra.Command, path string, work func(context.Context, *app) error) (interrupted bool, err error) {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program immediately

	quiet, verbose := cmd.Flag("quiet").Changed, cmd.Flag("verbose").Changed
	bar := newProgress(cmd.ErrOrStderr(), quiet)
	cfg, err := loadConfig(path)
	if err != nil {
		return false, err
	}
	level := cfg.Log.Level
	switch {
	case quiet:
		cfg.Log.Level = config.LogError
	case verbose:
		cfg.Log.Level = config.LogDebug
	}
	app, err := newApp(cfg, bar, nil)
	if err != nil {
		return false, err
	}
	app.log.alsoToJournal(level)
	defer app.log.sync()
	app.patience = operatorPatience
	app.observe = func(e rotator.Event) { app.log.observe(e); bar.observe(e) }
	hooks := hook.Start(rotator.SystemClock{}, hook.Settings{})
	attachHooks(hooks, app)
	err = work(ctx, app)
	bar.end()
	closeHooks(ctx, hooks)
	app.log.sync() // before the report, which may go to the same terminal
	if err != nil && ctx.Err() != nil {
		return true, &statusError{code: exitInterrupted}
	}
	return ctx.Err() != nil, err
}

// runReport runs a command that changes tenants, and prints its report.
func runReport(cmd *cobra.Command, path, output string, all bool, work func(context.Context, *app) (sweep.Report, error)) error {
	var report sweep.Report
	interrupted, err := runOnce(cmd, path, func(ctx context.Context, a *app) (err error) {
		if err = checkOutput(output); err == nil {
			report, err = work(ctx, a)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := printReport(cmd.OutOrStdout(), report, output, all); err != nil {
		return err
	}
	return statusOf(report.Failures()+report.FailedLogins(), interrupted)
}

func statusOf(failures int, interrupted bool) error {
	switch {
	case interrupted:
		return &statusError{code: exitInterrupted}
	case failures > 0:
		return &statusError{code: exitFailures}
	}
	return nil
}

// hooksGrace is the time limit for hooks when the program stops. Together with
// rotation.shutdown_grace it must fit into TimeoutStopSec= of the unit.
const hooksGrace = 10 * time.Second

// attachHooks makes the hooks observe the app's runs. Programs that wait stay queued.
func attachHooks(hooks *hook.Runner, a *app) {
	h := a.cfg.Hooks
	hooks.Reload(hook.Settings{
		Programs: map[hook.Name][]string{hook.AfterRotation: h.AfterRotation, hook.OnFailure: h.OnFailure, hook.AfterRun: h.AfterRun},
		Timeout:  h.Timeout,
		Check:    config.CheckProgram,
		Report:   a.log.hookEnded,
	})
	for _, err := range a.cfg.CheckHooks() {
		a.log.zap.Warn("hook cannot be run", zap.Error(err))
	}
	a.hooks = hooks.Observe
	a.observe, a.observeWork = observers(a.observe, hooks.Observe), observers(a.observeWork, hooks.Observe)
}

// closeHooks waits for the remaining hooks, at most for their grace period after
// ctx has ended.
func closeHooks(ctx context.Context, hooks *hook.Runner) {
	limit, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(hooksGrace, cancel) })
	defer stop()
	hooks.Close(limit)
}

func observers(all ...rotator.Observer) rotator.Observer {
	return func(e rotator.Event) {
		for _, observe := range all {
			observe.Notify(e)
		}
	}
}

// refused runs the hooks of an operator's run that could not start. For the daemon's runs
// this is an event.
func (a *app) refused(ctx context.Context, name rotator.EventName, err error) {
	if err != nil && ctx.Err() == nil {
		a.hooks(rotator.Event{Name: name, Err: err})
	}
}

func (l *logger) hookEnded(r hook.Result) {
	if errors.Is(r.Err, hook.ErrDropped) {
		l.zap.Warn("hooks dropped", zap.Int("hooks", r.Dropped), zap.Error(r.Err))
		return
	}
	fields := append([]zap.Field{
		zap.String("hook", string(r.Hook)), zap.String("program", r.Program),
		zap.Duration("took", r.Took.Round(time.Millisecond)), zap.String("output", r.Output),
	}, texts("tenant", r.Tenant, "user", loggedUser(r.User))...)
	if r.Err != nil {
		l.zap.Warn("hook failed", append(fields, zap.Error(r.Err))...)
		return
	}
	l.zap.Debug("hook finished", fields...)
}
