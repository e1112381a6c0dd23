package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/rotator"
)

// Outside is Vault as seen without a token: the content of sys/health, sealed or not.
// It is a [rotator.TimeSource].
type Outside struct {
	cfg         Config
	connections *http.Client
	health      *api.Client
}

// NewOutside prepares the connections, with the login's client certificate if it has
// one. It sends no request; the caller must close it.
func NewOutside(cfg Config, login *Login) (*Outside, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("vault configuration: %w", err)
	}
	cfg = cfg.withDefaults()
	cfg.Namespace = "" // sys/health belongs to the root namespace
	certificate, err := login.clientCertificate()
	if err != nil {
		return nil, err
	}
	connections, err := newHTTPClient(cfg, certificate)
	if err != nil {
		return nil, err
	}
	health, err := newAPI(cfg, connections)
	if err != nil {
		return nil, err
	}
	return &Outside{cfg: cfg, connections: connections, health: health}, nil
}

// Close drops the connections.
func (o *Outside) Close() { o.connections.CloseIdleConnections() }

// Time is Vault's own clock, in whole seconds.
func (o *Outside) Time(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Patience)
	defer cancel()
	ctx, _ = withTries(ctx)
	return askTime(ctx, o.health)
}

// The checks of [Outside.Check].
const (
	checkReachable   = "reachable"
	checkInitialised = "initialised"
	checkUnsealed    = "unsealed"
	checkActive      = "active node"
)

// Check queries Vault's health once. It stops at the first failed check; an address
// that does not answer costs [Config.Patience].
func (o *Outside) Check(ctx context.Context) []rotator.Check {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Patience)
	defer cancel()
	ctx, _ = withTries(ctx)
	health, err := askHealth(ctx, o.health)
	if err != nil {
		unreachable := rotator.Broken(checkReachable, o.describe(err), cmp.Or(fixOf(err), "on Vault's host: journalctl -u vault"))
		return append([]rotator.Check{unreachable},
			rotator.Skipped("Vault is not reachable", checkInitialised, checkUnsealed, checkActive)...)
	}
	return append([]rotator.Check{rotator.Passed(checkReachable, o.answers(health))}, judgeHealth(health)...)
}

func (o *Outside) answers(health *api.HealthResponse) string {
	security := "over plain http"
	if strings.HasPrefix(o.cfg.Address, "https:") {
		security = "over TLS, its certificate is trusted"
	}
	return fmt.Sprintf("Vault %s at %s, %s", health.Version, o.cfg.Address, security)
}

// judgeHealth stops at the first failed check.
func judgeHealth(h *api.HealthResponse) []rotator.Check {
	if !h.Initialized {
		return append([]rotator.Check{rotator.Broken(checkInitialised, "never initialised", "vault operator init")},
			rotator.Skipped("Vault is not initialised", checkUnsealed, checkActive)...)
	}
	checks := []rotator.Check{rotator.Passed(checkInitialised, "")}
	if h.Sealed {
		return append(append(checks, rotator.Broken(checkUnsealed, "sealed", "vault operator unseal")),
			rotator.Skipped("Vault is sealed", checkActive)...)
	}
	checks = append(checks, rotator.Passed(checkUnsealed, ""))
	switch {
	case h.ReplicationDRMode == "secondary":
		return append(checks, rotator.Broken(checkActive, "a disaster recovery secondary, which serves no requests", "set vault.address to the primary's"))
	case h.PerformanceStandby:
		return append(checks, rotator.Passed(checkActive, "a performance standby, which forwards writes to the active node"))
	case h.Standby:
		return append(checks, rotator.Passed(checkActive, "a standby, which forwards to the active node"))
	}
	return append(checks, rotator.Passed(checkActive, ""))
}

// describe omits the request, which the check's name and address show, and what the fix
// says.
func (o *Outside) describe(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("%s does not answer within %s", o.cfg.Address, o.cfg.Patience)
	}
	if redirect, ok := errors.AsType[*redirectError](err); ok {
		return o.cfg.Address + ": " + redirect.found()
	}
	if request, ok := errors.AsType[*url.Error](err); ok {
		err = request.Err
	}
	return fmt.Sprintf("%s: %v", o.cfg.Address, oneLine(err))
}
