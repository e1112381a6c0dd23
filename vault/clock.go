package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/vault/api"
)

// Time returns Vault's own clock, in whole seconds. Any node answers, including sealed
// and standby ones; the call waits only for an unreachable Vault.
func (c *Client) Time(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Patience)
	defer cancel()
	ctx, _ = withTries(ctx)
	lease, err := c.session.lease()
	if err != nil {
		return time.Time{}, err
	}
	return askTime(ctx, lease.health)
}

func askTime(ctx context.Context, client *api.Client) (time.Time, error) {
	health, err := askHealth(ctx, client)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask vault for the time at sys/health: %w", err)
	}
	if health.ServerTimeUTC <= 0 {
		return time.Time{}, errors.New("sys/health: vault's answer has no server_time_utc")
	}
	return time.Unix(health.ServerTimeUTC, 0).UTC(), nil
}
