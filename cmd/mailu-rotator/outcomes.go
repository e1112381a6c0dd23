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

// outcomes is what a daemon remembers of its tenants, by their names.
type outcomes map[string]monitor.TenantOutcome

// askDaemon asks the daemon that listens where the configuration says. It
// returns nil where none is to listen, and an error where none answers.
func askDaemon(ctx context.Context, c config.Listen) (outcomes, error) {
	listen, err := listenOf(c)
	if err != nil || listen.Network == "" {
		return nil, err
	}
	defer listen.Token.Wipe()
	ctx, cancel := context.WithTimeout(ctx, outcomesPatience)
	defer cancel()
	// The host says which name the daemon is asked by: without a token it answers
	// to those of loopback only.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+monitor.OutcomesPath, nil)
	if err != nil {
		return nil, err
	}
	prover := monitor.NewProver(listen.Token)
	guarded := !listen.Token.Empty()
	if guarded {
		prover.Sign(req) // the token itself is not for whoever holds the port
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

// dialer reaches the daemon, and nobody else: it knows no proxy, and an address
// that stands for all interfaces is asked over loopback.
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
