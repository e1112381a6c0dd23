package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"mailu-rotator/crypto"
	"mailu-rotator/internal/cluster"
	"mailu-rotator/internal/config"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
	"mailu-rotator/vault"
)

// clustered reports whether the workers of a cluster do what runs plan.
func (a *app) clustered() bool { return a.cfg.Cluster.Engine == config.EngineNATS }

// openCluster connects this process under a name, which is unique among processes.
func (a *app) openCluster(ctx context.Context) (*cluster.Cluster, error) {
	settings, err := a.clusterConfig()
	if err != nil {
		return nil, err
	}
	return cluster.Open(ctx, settings)
}

func (a *app) clusterConfig() (cluster.Config, error) {
	c := a.cfg.Cluster
	settings := cluster.Config{
		Servers: c.Servers, Prefix: c.Prefix, Replicas: c.Replicas, Batch: c.Batch, AckWait: c.AckWait,
		Name: a.owner, Version: version, Clock: rotator.SystemClock{}, Report: a.log.clusterReports,
	}
	if c.NKeyFile != "" {
		settings.Seed = func() (crypto.Secret, error) { return config.ReadSecret(c.NKeyFile) }
	}
	var err error
	settings.TLS, err = clusterTLS(c)
	return settings, err
}

// clusterTLS is nil where the configuration names no file: then the servers' URLs decide.
func clusterTLS(c config.Cluster) (*tls.Config, error) {
	if c.CAFile == "" && c.CertFile == "" {
		return nil, nil
	}
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("cluster.ca_file: %w", err)
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cluster.ca_file: %s has no certificate", c.CAFile)
		}
	}
	if c.CertFile != "" { // read at each handshake: it may have been renewed
		settings.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
			if err != nil {
				return nil, fmt.Errorf("cluster.cert_file: %w", err)
			}
			return &pair, nil
		}
	}
	return settings, nil
}

func (l *logger) clusterReports(err error) {
	if err == nil {
		l.zap.Info("cluster connected")
		return
	}
	l.zap.Warn("cluster fault", zap.Error(err))
}

// newRunID names a run that this process alone begins.
func newRunID(kind string) string {
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	return fmt.Sprintf("%s-%x", kind, id)
}

// sweepTogether does a daemon's sweep with the other daemons: one plans it, and all
// follow it. They know it by its tick. A recovery is each daemon's own.
func (a *app) sweepTogether(ctx context.Context, sel sweep.Selection, window time.Duration) error {
	a.awaitOwnWorker(ctx)
	c, err := a.openCluster(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	r, now := a.cfg.Rotation, time.Now()
	plan := func(run *cluster.Run) error {
		_, err := inSession(ctx, a, func(s *session) (sweep.Report, error) {
			s.OmitUnchanged, s.Engine = true, run
			return s.Run(ctx, sel, max(time.Until(now.Add(window)), time.Second)) // 0 would mean no limit
		})
		return err
	}
	if sel.PendingOnly {
		run, err := c.Plan(ctx, newRunID("pending"))
		if err != nil {
			return err
		}
		defer run.Close()
		return plan(run)
	}
	tick := rotator.LastTick(r.Schedule, now.In(r.Timezone), r.Jitter+r.Window)
	if tick.IsZero() {
		tick = now
	}
	id := "due-" + tick.UTC().Format("20060102T150405Z")
	return c.Together(ctx, id, plan, func(running *cluster.Attached) (sweep.Report, error) {
		return inSession(ctx, a, func(s *session) (sweep.Report, error) { return s.Attach(ctx, running) })
	})
}

// awaitOwnWorker waits a moment for this process's own worker: the first plan after a
// start should know of it.
func (a *app) awaitOwnWorker(ctx context.Context) {
	if a.ready == nil {
		return
	}
	select {
	case <-a.ready:
	case <-time.After(10 * time.Second):
	case <-ctx.Done():
	}
}

// runTogether has the workers of the cluster do an operator's run. Its id lets another
// terminal follow it.
func (a *app) runTogether(ctx context.Context, s *session, sel sweep.Selection) (sweep.Report, error) {
	c, err := a.openCluster(ctx)
	if err != nil {
		return sweep.Report{}, err
	}
	defer c.Close()
	plan := c.Preview
	if id := newRunID("all"); !s.DryRun {
		plan = func(ctx context.Context) (*cluster.Run, error) { return c.Plan(ctx, id) }
		a.log.zap.Info("run begins; another terminal follows it with --run-now --attach", zap.String("run", id))
	}
	run, err := plan(ctx)
	if err != nil {
		return sweep.Report{}, err
	}
	defer run.Close()
	s.Engine = run
	return s.Run(ctx, sel, 0)
}

// attach follows a run of another process.
func (a *app) attach(ctx context.Context, id string) (sweep.Report, error) {
	if !a.clustered() {
		return sweep.Report{}, errors.New("--attach needs a cluster: cluster.engine is none")
	}
	c, err := a.openCluster(ctx)
	if err != nil {
		return sweep.Report{}, err
	}
	defer c.Close()
	return inSession(ctx, a, func(s *session) (sweep.Report, error) { return s.Attach(ctx, c.Attach(id)) })
}

// work takes batches until ctx ends. beside runs at the same time, on the same
// connection.
func (a *app) work(ctx context.Context, beside func(context.Context, *cluster.Cluster)) error {
	c, err := a.openCluster(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	worker := &cluster.Worker{Cluster: c, Origins: a.origins(), Open: a.openWork, Ready: func() {
		a.observeWork(rotator.Event{Name: rotator.WorkerReady, Count: len(a.cfg.Mailu.Servers)})
		close(a.ready)
	}}
	var other sync.WaitGroup
	other.Go(func() { beside(ctx, c) })
	worker.Run(ctx)
	other.Wait()
	return nil
}

// workSession is what the batches of this worker share.
type workSession struct {
	*sweep.WorkSession
	app   *app
	vault *vault.Client
}

// openWork implements cluster.Worker's Open.
func (a *app) openWork(ctx context.Context) (cluster.Session, error) {
	client, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	w := &workSession{app: a, vault: client}
	if w.WorkSession, err = a.sweepOn(client, nil).OpenWork(ctx); err != nil {
		a.end(client)
		return nil, err
	}
	return w, nil
}

// Work implements [cluster.Session]. Each batch reads the Mailu tokens again.
func (w *workSession) Work(ctx context.Context, b sweep.Batch, held func() bool, report func(sweep.Settled)) error {
	servers, err := w.app.servers()
	if err != nil {
		return err
	}
	defer servers.Close()
	s := w.app.sweepOn(w.vault, servers)
	s.Observe, s.Cache = w.app.observeWork, nil
	s.Owner += "/worker" // a verification of this process may repair beside it
	return s.Work(ctx, w.WorkSession, b, held, report)
}

// Close implements [cluster.Session].
func (w *workSession) Close() {
	w.WorkSession.Close()
	w.app.end(w.vault)
}

// end revokes the session's token.
func (a *app) end(client *vault.Client) {
	if err := client.Close(); err != nil {
		a.log.zap.Warn("vault token not revoked", zap.Error(err))
	}
}
