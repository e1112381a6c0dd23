package vault

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
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
	name        string      // of the only node that it asks; empty: any
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

// Check queries the health of every node that the addresses lead to, once. The first
// checks are about the one that serves best, and stop at the first that failed. The others
// are of each node, if there are several. A node that does not answer costs
// [Config.Patience].
func (c *HealthClient) Check(ctx context.Context) (checks, ofNodes []rotator.Check) {
	all := c.askAll(ctx)
	best := slices.MinFunc(all, func(a, b answerOfNode) int { return cmp.Compare(a.rank(), b.rank()) })
	checks = best.node.judge(ctx, best.health, best.err)
	if len(all) == 1 {
		return checks, nil
	}
	for _, a := range all {
		ofNodes = append(ofNodes, a.check(best.health))
	}
	return checks, ofNodes
}

// answerOfNode is the health of one node, or the reason why it is unknown.
type answerOfNode struct {
	node   *HealthClient
	health *api.HealthResponse
	err    error
}

// askAll asks every node at the same time.
func (c *HealthClient) askAll(ctx context.Context) []answerOfNode {
	bounded := c.connections.Transport.(*boundedTransport)
	places := bounded.nodes.places(ctx)
	if len(places) == 1 {
		health, err := c.ask(ctx)
		return []answerOfNode{{c, health, err}}
	}
	all := make([]answerOfNode, len(places))
	var asked sync.WaitGroup
	for i, place := range places {
		asked.Go(func() { all[i] = c.askAt(ctx, bounded, place) })
	}
	asked.Wait()
	return all
}

// askAt asks one node, over connections that end with the answer.
func (c *HealthClient) askAt(ctx context.Context, bounded *boundedTransport, place *node) answerOfNode {
	alone := *bounded
	alone.nodes = bounded.nodes.only(place)
	one := &HealthClient{cfg: c.cfg, connections: &http.Client{Transport: &alone}, name: place.String()}
	defer one.Close()
	client, err := newAPI(c.cfg, one.connections, alone.nodes)
	if err != nil {
		return answerOfNode{one, nil, err}
	}
	one.api = client
	health, err := one.ask(ctx)
	return answerOfNode{one, health, err}
}

// rank is lower for a node that serves better.
func (a answerOfNode) rank() int {
	switch {
	case a.err != nil:
		return 5
	case !a.health.Initialized:
		return 4
	case a.health.Sealed:
		return 3
	case a.health.ReplicationDRMode == "secondary":
		return 2
	case a.health.Standby:
		return 1
	}
	return 0
}

// check is about the node beside the best one, whose health is nil if none answered.
func (a answerOfNode) check(best *api.HealthResponse) rotator.Check {
	name := "node " + a.node.name
	if a.err != nil {
		return rotator.Broken(name, a.node.describe(a.err), cmp.Or(fixOf(a.err), "on that host: journalctl -u vault"))
	}
	h := a.health
	switch {
	case !h.Initialized:
		return rotator.Broken(name, "belongs to no cluster", "on that host: vault operator raft join ADDRESS-OF-ANOTHER-NODE")
	case h.Sealed:
		return rotator.Broken(name, fmt.Sprintf("sealed, Vault %s", h.Version), "on that host: vault operator unseal")
	case h.ClusterID != best.ClusterID:
		return rotator.Broken(name, fmt.Sprintf("belongs to another cluster (%s) than the others", h.ClusterName), "remove it from vault.address and vault.other_addresses")
	case h.ReplicationDRMode == "secondary":
		return rotator.Broken(name, "a disaster recovery secondary, which serves no requests", "remove it from vault.address and vault.other_addresses")
	case h.PerformanceStandby:
		return rotator.Passed(name, "performance standby, Vault "+h.Version)
	case h.Standby:
		return rotator.Passed(name, "standby, Vault "+h.Version)
	}
	return rotator.Passed(name, "active, Vault "+h.Version)
}

// judge is about the node that serves best.
func (c *HealthClient) judge(ctx context.Context, health *api.HealthResponse, err error) []rotator.Check {
	if err != nil {
		unreachable := rotator.Broken(checkReachable, c.describe(err), cmp.Or(fixOf(err), "on Vault's host: journalctl -u vault"))
		return append([]rotator.Check{unreachable},
			rotator.Skipped("Vault is not reachable", checkInitialised, checkUnsealed, checkActive)...)
	}
	security := "over plain http"
	if strings.HasPrefix(c.cfg.Address, "https:") {
		security = "over TLS, its certificate is trusted"
	}
	reachable := rotator.Passed(checkReachable, fmt.Sprintf("Vault %s at %s, %s", health.Version, c.place(), security))
	return append([]rotator.Check{reachable}, judgeHealth(health, func() bool { return c.lacksLeader(ctx) })...)
}

// place is what the client asks, for people.
func (c *HealthClient) place() string { return cmp.Or(c.name, c.cfg.Address) }

// lacksLeader reports whether a standby knows of no active node: then it serves nothing.
func (c *HealthClient) lacksLeader(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Patience)
	defer cancel()
	leader, err := c.api.Sys().LeaderWithContext(ctx)
	return err == nil && leader.LeaderAddress == ""
}

// judgeHealth stops at the first failed check.
func judgeHealth(h *api.HealthResponse, lacksLeader func() bool) []rotator.Check {
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
	case h.Standby && lacksLeader():
		active = rotator.Broken(checkActive, "a standby without a leader", "see `vault status` on every node: most of them must be unsealed and reach each other at their cluster_addr")
	case h.Standby:
		active.Found = "a standby, which forwards to the active node"
	}
	return append(checks, rotator.Passed(checkUnsealed, ""), active)
}

// describe omits the request, which the check's name and address show, and what the fix
// says.
func (c *HealthClient) describe(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("%s does not answer within %s", c.place(), c.cfg.Patience)
	}
	if other, ok := errors.AsType[*foreignError](err); ok {
		return c.place() + ": " + other.found
	}
	if request, ok := errors.AsType[*url.Error](err); ok {
		err = request.Err
	}
	return fmt.Sprintf("%s: %v", c.place(), err)
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
