package vault

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// deadNetwork refuses every connection and records the time.
type deadNetwork struct{ tried []time.Time }

func (d *deadNetwork) RoundTrip(*http.Request) (*http.Response, error) {
	d.tried = append(d.tried, time.Now())
	return nil, errors.New("connection refused")
}

// Runs the API client's real loop with a fake clock: how many requests a caller sends
// per minute while it waits for an unreachable Vault.
func TestAnUnreachableVaultIsTriedAFewTimesAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &deadNetwork{}
		client, err := newAPI(Config{Address: "http://127.0.0.1:8200"}.withDefaults(), &http.Client{Transport: network})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), defaultPatience)
		defer cancel()

		_, err = client.Logical().ReadWithContext(ctx, "vault/config")

		minutes := make([]int, defaultPatience/time.Minute)
		for _, at := range network.tried {
			minutes[at.Sub(start)/time.Minute]++
		}
		for i, n := range minutes {
			if most := map[bool]int{true: 10, false: 5}[i == 0]; n > most || n == 0 && i < 14 {
				t.Errorf("%d tries in minute %d, want 1 to %d", n, i+1, most)
			}
		}
		if err == nil {
			t.Error("a dead network answered")
		}
	})
}
