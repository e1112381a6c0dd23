package vault_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/test/faultproxy"
	"mailu-rotator/vault"
)

func TestRevokedTokenIsReplacedByOneLogin(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.appRole(t, nil))
	f.revokeAll(t)

	errs := concurrently(16, func() error {
		_, err := c.Read(t.Context(), tenant)
		return err
	})

	must(t, errs)
	if n := f.proxy.Count("PUT", loginOf); n != 2 {
		t.Errorf("%d logins, want the first and one more", n)
	}
	if n := f.proxy.Count("GET", lookupOf); n != 0 {
		t.Errorf("%d lookups: \"invalid token\" says it all", n)
	}
}

func TestTokenRefusedWithoutAReasonIsLookedUp(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.appRole(t, nil))
	refuse := func(path string) {
		f.proxy.Inject(faultproxy.Fault{
			Match: faultproxy.On("GET", path), Kind: faultproxy.Status, Status: 403,
			Body: `{"errors":["permission denied"]}`, Times: 1,
		})
	}
	refuse(dataOf)
	refuse(lookupOf)

	_, err := c.Read(t.Context(), tenant)

	must(t, err)
	if n := f.proxy.Count("PUT", loginOf); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
}

func TestTokenThatMayNotLookItselfUpIsNotReplacedOverAndOver(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	auth := f.appRole(t, map[string]any{"token_no_default_policy": true})
	c := f.open(t, auth)
	must(t, f.server.WritePolicy(t.Context(), "rotator", `path "vault/metadata/smtp/" { capabilities = ["list"] }`))

	for range 5 {
		if _, err := c.Read(t.Context(), tenant); !errors.Is(err, rotator.ErrForbidden) {
			t.Errorf("got %v, want ErrForbidden", err)
		}
	}

	if n := f.proxy.Count("PUT", loginOf); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
}

func TestGivenTokenThatIsGoneIsAClearError(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	policy, err := vault.Policy(f.config)
	must(t, err)
	must(t, f.server.WritePolicy(t.Context(), "rotator", policy))
	token, err := f.server.Token(t.Context(), "rotator")
	must(t, err)
	path := file(t, "token", token)
	c := f.open(t, vault.Auth{Method: vault.MethodTokenFile, TokenFile: path, ReadSecret: readSecret})
	must(t, f.root.Auth().Token().RevokeTreeWithContext(t.Context(), token))

	start := time.Now()
	for range 3 {
		_, err = c.Read(t.Context(), tenant)
		if !errors.Is(err, rotator.ErrForbidden) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), token) {
			t.Errorf("got %v", err)
		}
	}

	// The first caller waits until the second login is allowed; the others get the
	// error at once.
	if d := time.Since(start); d > 15*time.Second {
		t.Errorf("it took %s to learn that", d)
	}
}

func TestRefusedRenewalMakesNoStorm(t *testing.T) {
	t.Parallel()
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	auth := f.appRole(t, nil)
	f.proxy.Inject(faultproxy.Fault{
		Match: faultproxy.On("PUT", renewOf), Kind: faultproxy.Status, Status: 400,
		Body: `{"errors":["lease is not renewable"]}`,
	})
	c := f.open(t, auth)

	time.Sleep(4 * time.Second)
	_, err := c.Read(t.Context(), tenant)

	must(t, err)
	renewals, logins := f.proxy.Count("PUT", renewOf), f.proxy.Count("PUT", loginOf)
	if renewals < 2 || renewals > 4 || logins != renewals {
		t.Errorf("%d renewals and %d logins in four seconds, want 2 to 4", renewals, logins)
	}
	must(t, c.Close())
	if n := f.proxy.Count("PUT", revokeOf); n != logins {
		t.Errorf("%d of %d tokens revoked", n, logins)
	}
}

func TestShortLivedTokenIsRenewedAndThenReplaced(t *testing.T) {
	t.Parallel()
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	auth := f.appRole(t, map[string]any{"token_ttl": "2s", "token_max_ttl": "4s"})
	c := f.open(t, auth)

	for end := time.Now().Add(7 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if _, err := c.Read(t.Context(), tenant); err != nil {
			t.Fatal(err)
		}
	}

	if n := f.proxy.Count("PUT", loginOf); n < 2 || n > 5 {
		t.Errorf("%d logins in seven seconds", n)
	}
	if n := f.proxy.Count("PUT", renewOf); n < 2 || n > 15 {
		t.Errorf("%d renewals in seven seconds", n)
	}
}

func TestBatchTokenIsJustUsed(t *testing.T) {
	t.Parallel()
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	auth := f.appRole(t, map[string]any{"token_type": "batch", "token_ttl": "2s"})
	c := f.open(t, auth)
	_, err := c.Read(t.Context(), tenant)
	must(t, err)

	time.Sleep(2500 * time.Millisecond)
	_, err = c.Read(t.Context(), tenant)

	must(t, err)
	if n := f.proxy.Count("PUT", renewOf); n != 0 {
		t.Errorf("%d renewals of a token that cannot be renewed", n)
	}
	if n := f.proxy.Count("PUT", loginOf); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
}

func TestCloseEndsEverythingSoon(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	f.proxy.Inject(faultproxy.Fault{Match: faultproxy.On("PUT", renewOf), Kind: faultproxy.Hang})
	c := f.open(t, f.appRole(t, nil))

	start := time.Now()
	must(t, c.Close())
	must(t, c.Close())

	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("closing took %s", d)
	}
	if _, err := c.Read(t.Context(), tenant); err == nil || errors.Is(err, rotator.ErrForbidden) {
		t.Errorf("a closed session reads: %v", err)
	}
}

func TestEverythingAtOnceWithAClose(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.appRole(t, nil))
	calls := []func() error{
		func() error { _, err := listed(c.List(t.Context())); return err },
		func() error { _, err := c.Read(t.Context(), tenant); return err },
		func() error { _, err := c.MasterKeys(t.Context()); return err },
		func() error { _, err := c.Time(t.Context()); return err },
		func() error { time.Sleep(20 * time.Millisecond); return c.Close() },
	}
	var wg sync.WaitGroup

	for _, call := range calls {
		wg.Go(func() {
			for range 20 {
				_ = call()
			}
		})
	}
	wg.Wait()

	if _, err := c.Read(t.Context(), tenant); err == nil {
		t.Error("a closed session reads")
	}
}

// concurrently returns the joined errors of n concurrent calls.
func concurrently(n int, call func() error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = call() })
	}
	wg.Wait()
	return errors.Join(errs...)
}
