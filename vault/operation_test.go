package vault_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"mailu-rotator/test/faultproxy"
	"mailu-rotator/vault"
)

// toldRequests counts the calls of Config.OnRequest.
type toldRequests struct {
	mu   sync.Mutex
	seen map[string]int // "read 200" -> how often
}

func (f *fixture) tellRequests() *toldRequests {
	told := &toldRequests{seen: map[string]int{}}
	f.config.OnRequest = func(operation string, status int, _ time.Duration) {
		told.mu.Lock()
		defer told.mu.Unlock()
		told.seen[fmt.Sprintf("%s %d", operation, status)]++
	}
	return told
}

func (r *toldRequests) want(t *testing.T, want map[string]int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.seen, "renew 200") // sent by the lifetime watcher at its own times
	if !maps.Equal(r.seen, want) {
		t.Errorf("told %v, want %v", r.seen, want)
	}
}

func TestEveryRequestIsToldOnceByItsOperation(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	auth := f.appRole(t, nil)
	told := f.tellRequests()
	client := f.open(t, auth)

	_, err := client.Time(t.Context())
	must(t, err)
	keys, err := client.MasterKeys(t.Context())
	must(t, err)
	keys.Wipe()
	_, err = listed(client.List(t.Context()))
	must(t, err)
	doc, err := client.Read(t.Context(), tenant)
	must(t, err)
	_, err = client.Write(t.Context(), tenant, doc)
	must(t, err)
	must(t, client.Close())

	told.want(t, map[string]int{
		"login 200": 1, "mounts 200": 1, "health 200": 1, "export 200": 1,
		"list 200": 1, "read 200": 1, "write 200": 1, "revoke 204": 1,
	})
}

func TestEveryTryOfARequestIsTold(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	client := f.openTold(t)
	f.proxy.Inject(faultproxy.Fault{Match: faultproxy.On("GET", dataOf), Kind: faultproxy.Status, Status: 503, Times: 2})
	f.proxy.Inject(faultproxy.Fault{Match: faultproxy.On("PUT", dataOf), Kind: faultproxy.ResetBefore, Times: 1})

	doc, err := client.Read(t.Context(), tenant)
	must(t, err)
	_, err = client.Write(t.Context(), tenant, doc)
	must(t, err)

	client.told.want(t, map[string]int{
		"lookup 200": 1, "mounts 200": 1, "read 503": 2, "read 200": 1, "write 0": 1, "write 200": 1,
	})
}

type toldClient struct {
	*vault.Client
	told *toldRequests
}

func (f *fixture) openTold(t *testing.T) toldClient {
	t.Helper()
	told := f.tellRequests()
	return toldClient{Client: f.open(t, f.rootAuth()), told: told}
}

func TestRenewalsAreToldWithTheNewExpiry(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	auth := f.appRole(t, map[string]any{"token_ttl": "2s", "token_max_ttl": "1h"})
	expiries := make(chan time.Time, 1000)
	f.config.OnToken = func(expires time.Time) { expiries <- expires }
	client := f.open(t, auth)

	first := <-expiries
	second := <-expiries
	must(t, client.Close())

	if !second.After(first) {
		t.Errorf("renewed until %s, after a login until %s", second, first)
	}
	var last time.Time
	for len(expiries) > 0 {
		last = <-expiries
	}
	if !last.IsZero() {
		t.Errorf("a revoked token still expires at %s", last)
	}
}

func TestATokenThatNeverExpiresIsToldAsSuch(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	var expiries []time.Time
	f.config.OnToken = func(expires time.Time) { expiries = append(expiries, expires) }

	client := f.open(t, f.rootAuth())
	must(t, client.Close())

	if !slices.Equal(expiries, []time.Time{{}}) {
		t.Errorf("told %v", expiries)
	}
}
