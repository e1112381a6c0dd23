package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"mailu-rotator/internal/config"
	"mailu-rotator/internal/monitor"
)

const (
	outcomesPatience = 2 * time.Second
	maxOutcomes      = 256 << 20 // bytes; a million tenants with a reason each
)

// outcomes are a daemon's last results, by tenant name.
type outcomes map[string]monitor.TenantOutcome

// askDaemon queries the daemon at the address in the configuration. It returns nil if
// no address is configured, and an error if nothing answers.
func askDaemon(ctx context.Context, c config.Listen) (outcomes, error) {
	listen, err := listenOf(c)
	if err != nil || listen.Network == "" {
		return nil, err
	}
	defer listen.Token.Wipe()
	ctx, cancel := context.WithTimeout(ctx, outcomesPatience)
	defer cancel()
	// The host is a loopback name: without a token the daemon answers only to those.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+monitor.OutcomesPath, nil)
	if err != nil {
		return nil, err
	}
	prover := monitor.NewProver(listen.Token)
	guarded := !listen.Token.Empty()
	if guarded {
		prover.Sign(req) // another program may hold the port: never send it the token
	}
	resp, err := dialer(listen).RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("no daemon answers at %s: %w", c.Address, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers status %d: another program, or an older daemon", c.Address, resp.StatusCode)
	}
	if guarded && !prover.Trusts(resp) {
		return nil, fmt.Errorf("%s answers without knowing the token of listen.token_file: another program", c.Address)
	}
	return readOutcomes(io.LimitReader(resp.Body, maxOutcomes))
}

func readOutcomes(from io.Reader) (outcomes, error) {
	var doc monitor.Outcomes
	if err := json.NewDecoder(from).Decode(&doc); err != nil {
		return nil, fmt.Errorf("read the daemon's answer: %w", err)
	}
	known := make(outcomes, len(doc.Tenants))
	for _, t := range doc.Tenants {
		known[t.Tenant] = t
	}
	return known, nil
}

// dialer connects only to the daemon: it uses no proxy, and it replaces an address that
// stands for all interfaces by loopback.
func dialer(l monitor.Listen) *http.Transport {
	return &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, l.Network, reachable(l.Network, l.Address))
		},
	}
}

func reachable(network, address string) string {
	host, port, err := net.SplitHostPort(address)
	if network != "tcp" || err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("localhost", port)
	}
	return address
}
