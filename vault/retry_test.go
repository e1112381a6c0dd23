package vault_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/test/faultproxy"
)

func TestSealedVaultIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	var mu sync.Mutex
	var waits []error
	f.config.OnWait = func(cause error, pause time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		if pause <= 0 || pause > f.config.MaxWait {
			t.Errorf("pause of %s", pause)
		}
		waits = append(waits, cause)
	}
	c := f.open(t, f.appRole(t, nil))
	must(t, f.server.Seal(t.Context()))
	unsealed := time.AfterFunc(time.Second, func() { _ = f.server.Unseal(t.Context()) })
	defer unsealed.Stop()

	doc, err := c.Read(t.Context(), tenant)

	must(t, err)
	if doc.Version != 1 {
		t.Errorf("got %v", doc)
	}
	mu.Lock()
	defer mu.Unlock()
	if n := len(waits); n < 4 || n > 30 || !strings.Contains(waits[0].Error(), "503 (sealed") {
		t.Errorf("%d waits: %v", n, waits)
	}
}

func TestVaultThatStaysSealedIsReportedBeforeTheDeadline(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())
	must(t, f.server.Seal(t.Context()))

	_, err := c.Read(within(t, 2*time.Second), tenant)

	if err == nil || !strings.Contains(err.Error(), "sealed") {
		t.Errorf("got %v", err)
	}
}

func TestUnreachableVaultIsWaitedForAtLogin(t *testing.T) {
	f := newFixture(t)
	f.proxy.Inject(faultproxy.Fault{Kind: faultproxy.ResetBefore, Times: 3})

	_, err := f.tryOpen(t, f.rootAuth())

	must(t, err)
}

func TestRetryAfterIsHonouredUpToTheCap(t *testing.T) {
	t.Parallel()
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	f.config.MaxWait = 600 * time.Millisecond
	c := f.open(t, f.rootAuth())
	for _, header := range []string{"3600", "99999999999", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)} {
		f.proxy.Inject(faultproxy.Fault{
			Match: faultproxy.On("GET", dataOf), Kind: faultproxy.Status, Status: 429,
			Header: http.Header{"Retry-After": {header}}, Body: `{"errors":["slow down"]}`, Times: 1,
		})

		start := time.Now()
		_, err := c.Read(t.Context(), tenant)

		must(t, err)
		if d := time.Since(start); d < 500*time.Millisecond || d > 60*time.Second {
			t.Errorf("Retry-After %s: waited %s, want 600ms", header, d)
		}
	}
}

func TestWhatIsRetriedAndWhatIsNot(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())
	for status, retried := range map[int]bool{
		400: false, 404: false, 405: false, 412: true, 429: true, 472: false, 473: false, 500: true, 501: false, 502: true, 503: true,
	} {
		f.proxy.Clear()
		f.proxy.Inject(faultproxy.Fault{Match: faultproxy.On("PUT", dataOf), Kind: faultproxy.Status, Status: status, Body: `{"errors":["x"]}`, Times: 1})
		before := f.proxy.Count("PUT", dataOf)

		_, _ = c.Write(t.Context(), tenant, rotator.Document{Version: 999})

		if n := f.proxy.Count("PUT", dataOf) - before; (n == 2) != retried {
			t.Errorf("status %d: %d requests, want retried %v", status, n, retried)
		}
	}
}

func TestMountBeingUpgradedIsWaitedFor(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())
	f.proxy.Inject(faultproxy.Fault{
		Match: faultproxy.On("GET", dataOf), Kind: faultproxy.Status, Status: 400, Times: 2,
		Body: `{"errors":["Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period and will resume service shortly."]}`,
	})

	doc, err := c.Read(t.Context(), tenant)

	if err != nil || doc.Version != 1 {
		t.Errorf("got %v, %v", doc, err)
	}
}

func TestForeignErrorPagesAreNotQuoted(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())
	f.proxy.Inject(faultproxy.Fault{
		Match: faultproxy.On("GET", dataOf), Kind: faultproxy.Status, Status: 400,
		Body: "<html>X-Vault-Token: " + f.server.RootToken,
	})

	_, err := c.Read(t.Context(), tenant)

	if err == nil || strings.Contains(err.Error(), f.server.RootToken) || !strings.Contains(err.Error(), "is there a proxy in between") {
		t.Errorf("got %v", err)
	}
}
