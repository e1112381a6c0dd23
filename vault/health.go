package vault

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/rotator"
)

// HealthClient is Vault as seen without a token: the content of sys/health, sealed or not.
// It is a [rotator.TimeSource].
type HealthClient struct {
	cfg         Config
	connections *http.Client
	api         *api.Client // without a namespace: sys/health belongs to the root namespace
}

// NewHealthClient prepares the connections, with the login's client certificate if it has
// one. It sends no request; the caller must close it.
func NewHealthClient(cfg Config, login *Login) (*HealthClient, error) {
	cfg, err := cfg.checked()
	if err != nil {
		return nil, err
	}
	client, connections, err := dial(cfg, login)
	if err != nil {
		return nil, err
	}
	return &HealthClient{cfg: cfg, connections: connections, api: client.WithNamespace("")}, nil
}

// Close drops the connections.
func (c *HealthClient) Close() { c.connections.CloseIdleConnections() }

// Time is Vault's own clock, in whole seconds. Any node answers, including sealed and
// standby ones; the call waits only for an unreachable Vault.
func (c *HealthClient) Time(ctx context.Context) (time.Time, error) {
	health, err := c.ask(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask vault for the time at sys/health: %w", err)
	}
	if health.ServerTimeUTC <= 0 {
		return time.Time{}, errors.New("sys/health: vault's answer has no server_time_utc")
	}
	return time.Unix(health.ServerTimeUTC, 0).UTC(), nil
}

// Time is [HealthClient.Time] over the connections of the session.
func (c *Client) Time(ctx context.Context) (time.Time, error) {
	lease, err := c.session.lease()
	if err != nil {
		return time.Time{}, err
	}
	return (&HealthClient{cfg: c.cfg, api: lease.api.WithNamespace("")}).Time(ctx)
}

// The checks of [HealthClient.Check].
const (
	checkReachable   = "reachable"
	checkInitialised = "initialised"
	checkUnsealed    = "unsealed"
	checkActive      = "active node"
)

// Check queries Vault's health once. It stops at the first failed check; an address
// that does not answer costs [Config.Patience].
func (c *HealthClient) Check(ctx context.Context) []rotator.Check {
	health, err := c.ask(ctx)
	if err != nil {
		unreachable := rotator.Broken(checkReachable, c.describe(err), cmp.Or(fixOf(err), "on Vault's host: journalctl -u vault"))
		return append([]rotator.Check{unreachable},
			rotator.Skipped("Vault is not reachable", checkInitialised, checkUnsealed, checkActive)...)
	}
	security := "over plain http"
	if strings.HasPrefix(c.cfg.Address, "https:") {
		security = "over TLS, its certificate is trusted"
	}
	reachable := rotator.Passed(checkReachable, fmt.Sprintf("Vault %s at %s, %s", health.Version, c.cfg.Address, security))
	return append([]rotator.Check{reachable}, judgeHealth(health)...)
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
	active := rotator.Passed(checkActive, "")
	switch {
	case h.ReplicationDRMode == "secondary":
		active = rotator.Broken(checkActive, "a disaster recovery secondary, which serves no requests", "set vault.address to the primary's")
	case h.PerformanceStandby:
		active.Found = "a performance standby, which forwards writes to the active node"
	case h.Standby:
		active.Found = "a standby, which forwards to the active node"
	}
	return append(checks, rotator.Passed(checkUnsealed, ""), active)
}

// describe omits the request, which the check's name and address show, and what the fix
// says.
func (c *HealthClient) describe(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("%s does not answer within %s", c.cfg.Address, c.cfg.Patience)
	}
	if other, ok := errors.AsType[*foreignError](err); ok {
		return c.cfg.Address + ": " + other.found
	}
	if request, ok := errors.AsType[*url.Error](err); ok {
		err = request.Err
	}
	return fmt.Sprintf("%s: %v", c.cfg.Address, err)
}

// errNotHealth is a successful answer that is not Vault's: a load balancer's own health
// page, another service's JSON.
var errNotHealth = errors.New("sys/health answered something else than Vault's health: vault.address is not Vault's, or a proxy answers in its place")

// ask needs no token. Any node answers, including sealed and standby ones.
func (c *HealthClient) ask(ctx context.Context) (*api.HealthResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Patience)
	defer cancel()
	ctx, _ = withTries(ctx)
	// Vault encodes states in the status, see [describeStatus], unless it is asked for
	// another one. A Vault that does not know one of these, or a proxy, may still do so.
	query := url.Values{}
	for _, state := range []string{"uninit", "sealed", "standby", "drsecondary", "performancestandby", "removed", "haunhealthy"} {
		query.Set(state+"code", "299")
	}
	resp, err := c.api.Logical().ReadRawWithDataWithContext(ctx, "sys/health", query)
	err = oneLine(err)
	if resp == nil {
		return nil, err
	}
	body, readErr := readBody(resp, nil)
	if readErr != nil {
		return nil, fmt.Errorf("read the answer of sys/health: %w", readErr)
	}
	var said struct{ Initialized, Sealed *bool } // these decide the operator's next action: never guess them
	var health api.HealthResponse
	decodeErr := errors.Join(json.Unmarshal(body, &said), json.Unmarshal(body, &health))
	switch {
	case decodeErr == nil && said.Initialized != nil && said.Sealed != nil:
		return &health, nil // with any status
	case err != nil:
		return nil, err
	}
	return nil, errNotHealth
}
