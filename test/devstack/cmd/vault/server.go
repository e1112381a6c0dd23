package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/cli"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/command/server"
	"github.com/hashicorp/vault/helper/metricsutil"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/physical"
	"github.com/hashicorp/vault/vault"
)

// serve runs the server until ctx ends, then seals and returns.
func serve(ctx context.Context, o options) error {
	config, err := loadConfig(o)
	if err != nil {
		return err
	}
	logger := hclog.New(&hclog.LoggerOptions{Output: os.Stderr, Level: level(config)})
	ui := &cli.BasicUi{Writer: os.Stdout, ErrorWriter: os.Stderr}

	core, err := newCore(config, logger, ui, o)
	if err != nil {
		return err
	}
	// Listen before the dev set-up: an occupied port must fail before the key ceremony.
	listeners, err := listen(config, ui)
	if err != nil {
		return err
	}
	if err := joinCluster(ctx, core, config); err != nil {
		return err
	}
	if o.dev {
		token, err := initDev(core, o.token)
		if err != nil {
			return err
		}
		fmt.Println("Root Token:", token)
	}
	errs := make(chan error, len(listeners))
	servers := make([]*http.Server, len(listeners))
	for i, l := range listeners {
		servers[i] = newHTTPServer(core, config, config.Listeners[i], logger)
		go func() { errs <- servers[i].Serve(l) }()
	}
	fmt.Println("==> Vault server started! Log data will stream in below:")

	select {
	case <-ctx.Done():
	case err = <-errs:
	}
	for _, s := range servers {
		s.Close()
	}
	return errors.Join(err, core.Shutdown())
}

func loadConfig(o options) (*server.Config, error) {
	var config *server.Config
	if o.dev {
		dev, err := server.DevConfig("inmem")
		if err != nil {
			return nil, fmt.Errorf("make the dev configuration: %w", err)
		}
		if o.address != "" {
			dev.Listeners[0].Address = o.address
		}
		config = dev
	}
	if o.config != "" {
		file, err := server.LoadConfig(o.config)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", o.config, err)
		}
		if config != nil {
			file = config.Merge(file)
		}
		config = file
	}
	if config.Storage == nil || len(config.Listeners) == 0 {
		return nil, fmt.Errorf("%s: needs a storage and a listener stanza", o.config)
	}
	if len(config.Seals) > 0 {
		return nil, fmt.Errorf("%s: auto-unseal is not compiled in: remove the seal stanza", o.config)
	}
	return config, nil
}

func level(config *server.Config) hclog.Level {
	if l := hclog.LevelFromString(config.LogLevel); l != hclog.NoLevel {
		return l
	}
	return hclog.Info
}

func newCore(config *server.Config, logger hclog.Logger, ui cli.Ui, o options) (*vault.Core, error) {
	factory, ok := storages()[config.Storage.Type]
	if !ok {
		return nil, fmt.Errorf("storage %q is not compiled in: use file, inmem or raft", config.Storage.Type)
	}
	storage, err := factory(config.Storage.Config, logger.Named("storage."+config.Storage.Type))
	if err != nil {
		return nil, fmt.Errorf("open storage %s: %w", config.Storage.Type, err)
	}
	inmem, sink, prometheus, err := configutil.SetupTelemetry(&configutil.SetupTelemetryOpts{
		Config: config.Telemetry, Ui: ui, ServiceName: "vault", DisplayName: "Vault", ClusterName: config.ClusterName,
	})
	if err != nil {
		return nil, fmt.Errorf("set up telemetry: %w", err)
	}
	builtin := builtinPlugins()
	ha, _ := storage.(physical.HABackend) // only raft
	core, err := vault.NewCore(&vault.CoreConfig{
		RawConfig:                config,
		Physical:                 storage,
		HAPhysical:               ha,
		ClusterAddr:              config.ClusterAddr,
		StorageType:              config.Storage.Type,
		RedirectAddr:             config.APIAddr,
		AuditBackends:            auditDevices(),
		BuiltinRegistry:          builtin,
		LogLevel:                 config.LogLevel,
		Logger:                   logger,
		DisableCache:             config.DisableCache,
		DisableMlock:             config.DisableMlock,
		DefaultLeaseTTL:          config.DefaultLeaseTTL,
		MaxLeaseTTL:              config.MaxLeaseTTL,
		ClusterName:              config.ClusterName,
		EnableRaw:                config.EnableRawEndpoint || o.dev,
		EnableIntrospection:      config.EnableIntrospectionEndpoint || o.dev,
		DisableKeyEncodingChecks: config.DisablePrintableCheck,
		DisableSSCTokens:         config.DisableSSCTokens,
		MetricsHelper:            metricsutil.NewMetricsHelper(inmem, prometheus),
		MetricSink:               sink,
	})
	if err != nil && vault.IsFatalError(err) {
		return nil, fmt.Errorf("start the core: %w", err)
	}
	return core, nil
}

// joinCluster prepares the core for the other nodes of a raft cluster: where it listens
// for them, how it answers what they forward, and whom it joins if it is not a member
// yet. Without raft it does nothing.
func joinCluster(ctx context.Context, core *vault.Core, config *server.Config) error {
	if config.Storage.Type != "raft" {
		return nil
	}
	var addresses []*net.TCPAddr
	for _, l := range config.Listeners {
		address, err := net.ResolveTCPAddr("tcp", l.ClusterAddress)
		if err != nil || l.ClusterAddress == "" {
			return fmt.Errorf("listener %s: cluster_address %q: raft needs a host:port here", l.Address, l.ClusterAddress)
		}
		addresses = append(addresses, address)
	}
	core.SetClusterListenerAddrs(addresses)
	core.SetClusterHandler(vaulthttp.Handler.Handler(&vault.HandlerProperties{
		Core: core, ListenerConfig: &configutil.Listener{},
	}))
	if err := core.InitiateRetryJoin(ctx); err != nil {
		return fmt.Errorf("join the raft cluster: %w", err)
	}
	return nil
}

// listen opens the configured listeners, with Vault's default limits.
func listen(config *server.Config, ui cli.Ui) ([]net.Listener, error) {
	var all []net.Listener
	for _, c := range config.Listeners {
		l, _, _, err := server.NewListener(c, os.Stderr, ui)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", c.Address, err)
		}
		c.MaxRequestSize = orDefault(c.MaxRequestSize, vaulthttp.DefaultMaxRequestSize)
		c.CustomMaxJSONDepth = orDefault(c.CustomMaxJSONDepth, vaulthttp.CustomMaxJSONDepth)
		c.CustomMaxJSONStringValueLength = orDefault(c.CustomMaxJSONStringValueLength, vaulthttp.CustomMaxJSONStringValueLength)
		c.CustomMaxJSONObjectEntryCount = orDefault(c.CustomMaxJSONObjectEntryCount, vaulthttp.CustomMaxJSONObjectEntryCount)
		c.CustomMaxJSONArrayElementCount = orDefault(c.CustomMaxJSONArrayElementCount, vaulthttp.CustomMaxJSONArrayElementCount)
		c.MaxRequestDuration = orDefault(c.MaxRequestDuration, vault.DefaultMaxRequestDuration)
		all = append(all, l)
	}
	return all, nil
}

func orDefault[T comparable](v, fallback T) T {
	var unset T
	if v == unset {
		return fallback
	}
	return v
}

// newHTTPServer uses the timeouts of Vault's own command.
func newHTTPServer(core *vault.Core, config *server.Config, l *configutil.Listener, logger hclog.Logger) *http.Server {
	return &http.Server{
		Handler: vaulthttp.Handler.Handler(&vault.HandlerProperties{
			Core:                  core,
			ListenerConfig:        l,
			DisablePrintableCheck: config.DisablePrintableCheck,
		}),
		ReadHeaderTimeout: orDefault(l.HTTPReadHeaderTimeout, 10*time.Second),
		ReadTimeout:       orDefault(l.HTTPReadTimeout, 30*time.Second),
		WriteTimeout:      l.HTTPWriteTimeout,
		IdleTimeout:       orDefault(l.HTTPIdleTimeout, 5*time.Minute),
		ErrorLog:          logger.StandardLogger(nil),
	}
}
