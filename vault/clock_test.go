package vault_test

import (
	"testing"
	"time"
)

func TestTimeIsVaultsWhetherSealedOrNot(t *testing.T) {
	f := newFixture(t)
	c := f.open(t, f.rootAuth())

	for _, state := range []string{"unsealed", "sealed"} {
		if state == "sealed" {
			must(t, f.server.Seal(t.Context()))
		}
		before := f.proxy.Count("", "/v1/sys/health")

		now, err := c.Time(t.Context())

		must(t, err)
		if skew := time.Since(now); skew < -2*time.Second || skew > 3*time.Second {
			t.Errorf("%s: vault's clock is %s off", state, skew)
		}
		if n := f.proxy.Count("", "/v1/sys/health") - before; n != 1 {
			t.Errorf("%s: %d requests, want 1", state, n)
		}
	}
}
