package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"

	"mailu-rotator/test/manyvault"
)

// vaultTask is the fleet of a simulated Vault.
type vaultTask struct {
	Tenants int `json:"tenants"`
}

const simulatedPrefix = "smtp"

// playVault runs a simulated Vault until the process is ended.
func playVault(ctx context.Context, text []byte) error {
	var task vaultTask
	if err := json.Unmarshal(text, &task); err != nil {
		return err
	}
	fleet := manyvault.Fleet{Tenants: task.Tenants, Origin: anOrigin[0], Rotated: time.Now().Add(-young), Policy: "180_days"}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: fleet.Handler()}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := tell("ready", "http://"+listener.Addr().String()); err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// simulate starts a simulated Vault with the given number of tenants and returns its
// fleet. The caller must kill the process.
func (s *stage) simulate(ctx context.Context, f *fleet) (p *process, err error) {
	if p, err = s.startRole("vault", vaultTask{Tenants: f.tenants}); err != nil {
		return nil, err
	}
	ready, _, err := p.await(ctx, 0, named("ready"))
	if err == nil {
		err = json.Unmarshal(ready.Of, &f.vault)
	}
	if err == nil {
		f.prefix = simulatedPrefix
		err = s.prepare(ctx, f)
	}
	if err != nil {
		p.kill()
	}
	return p, err
}
