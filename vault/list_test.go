package vault_test

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/test/faultproxy"
	"mailu-rotator/test/manyvault"
	"mailu-rotator/vault"
)

const listOf = "/v1/vault/metadata/smtp"

// answering replaces the real list.
func answering(body string) faultproxy.Fault {
	return faultproxy.Fault{Match: faultproxy.On("GET", listOf), Kind: faultproxy.Status, Status: http.StatusOK, Body: body}
}

func TestNamesOfAListThatBreaksOffEndInAnErrorAndComeOnce(t *testing.T) {
	f := newFixture(t)
	c := f.open(t, f.rootAuth())
	fault := answering(`{"data":{"keys":["` + string(tenant) + `/","` + string(another) + `/","`)
	fault.Header = http.Header{"Content-Length": {"100000"}}
	f.proxy.Inject(fault)
	before := f.proxy.Count("GET", listOf)

	var names []string
	var failure error
	for name, err := range c.List(t.Context()) {
		if failure = err; err == nil {
			names = append(names, name)
		}
	}

	if !errors.Is(failure, io.ErrUnexpectedEOF) || !slices.Equal(names, []string{string(tenant), string(another)}) {
		t.Errorf("got %q, %v", names, failure)
	}
	if n := f.proxy.Count("GET", listOf) - before; n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestAListIsTriedAgainUntilItBegins(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())
	f.proxy.Inject(faultproxy.Fault{Match: faultproxy.On("GET", listOf), Kind: faultproxy.Status, Times: 1})
	f.proxy.Inject(faultproxy.Fault{Match: faultproxy.On("GET", listOf), Kind: faultproxy.ResetBefore, Times: 3})

	names, err := listed(c.List(t.Context()))

	if err != nil || !slices.Equal(names, []string{string(tenant)}) {
		t.Errorf("got %q, %v", names, err)
	}
}

// A store need not list in order. A tenant whose name is also a plain record's would be
// read twice, and would count as its own duplicate.
func TestATenantThatIsAlsoAPlainRecordIsListedOnceInAnyOrder(t *testing.T) {
	f := newFixture(t)
	c := f.open(t, f.rootAuth())
	for body, requests := range map[string]int{
		`{"data":{"keys":["a","a-b/","a/","readme"]}}`: 1,
		`{"data":{"keys":["readme","a/","a","a-b/"]}}`: 2,
		`{"data":{"keys":["a/","readme","a-b/","a"]}}`: 2,
	} {
		f.proxy.Clear()
		f.proxy.Inject(answering(body))
		before := f.proxy.Count("GET", listOf)

		names, err := listed(c.List(t.Context()))

		slices.Sort(names)
		if err != nil || !slices.Equal(names, []string{"a", "a-b", "readme"}) {
			t.Errorf("%s: got %q, %v", body, names, err)
		}
		if n := f.proxy.Count("GET", listOf) - before; n != requests {
			t.Errorf("%s: asked %d times, want %d", body, n, requests)
		}
	}
}

func TestAListWithoutEntriesIsNoFleet(t *testing.T) {
	f := newFixture(t)
	c := f.open(t, f.rootAuth())
	f.proxy.Inject(answering(`{"data":{"keys":[]}}`))

	_, err := listed(c.List(t.Context()))

	if !errors.Is(err, rotator.ErrNoTenants) {
		t.Errorf("got %v", err)
	}
}

// Only Vault's 404 means that nothing is under the prefix; a proxy answers 404 for
// other reasons.
func TestAProxys404IsNoEmptyFleet(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())
	for _, body := range []string{"", "<html>Not Found</html>", `{"message":"no route matched"}`, "null"} {
		f.proxy.Clear()
		fault := answering(body)
		fault.Status = http.StatusNotFound
		f.proxy.Inject(fault)

		_, err := listed(c.List(t.Context()))

		if err == nil || errors.Is(err, rotator.ErrNoTenants) || !strings.Contains(err.Error(), "404") {
			t.Errorf("%q: got %v", body, err)
		}
	}
}

func TestWhoeverHasHeardEnoughOfAListEndsIt(t *testing.T) {
	f := newFixture(t)
	c := f.open(t, f.rootAuth())
	f.proxy.Inject(answering(`{"data":{"keys":["a/","b/"]}}`))

	var names []string
	for name, err := range c.List(t.Context()) {
		must(t, err)
		names = append(names, name)
		break
	}

	if !slices.Equal(names, []string{"a"}) {
		t.Errorf("got %q", names)
	}
}

// Measurements on a simulated Vault are valid only if it answers like a real one with
// the same content.
func TestManyvaultAnswersAsVaultDoes(t *testing.T) {
	f := newFixture(t)
	fleet := manyvault.Fleet{Tenants: 3, Origin: "https://mail.example.com", Rotated: time.Now(), Policy: "90_days"}
	madeUp := httptest.NewServer(fleet.Handler())
	t.Cleanup(madeUp.Close)
	open := func(address string) *vault.Client {
		config := f.config
		config.Address = address
		login, err := vault.NewLogin(f.rootAuth())
		must(t, err)
		c, err := vault.Open(t.Context(), config, login)
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	many, vaults := open(madeUp.URL), open(f.server.Addr)
	for n := range fleet.Tenants {
		doc, err := many.Read(t.Context(), rotator.TenantID(manyvault.Tenant(n)))
		must(t, err)
		must(t, f.server.Put(t.Context(), "smtp/"+manyvault.Tenant(n)+"/admin", doc.Fields))
	}

	names, err := listed(many.List(t.Context()))
	must(t, err)
	want, err := listed(vaults.List(t.Context()))
	must(t, err)
	if !slices.Equal(names, want) {
		t.Errorf("lists %q, Vault %q", names, want)
	}
	for _, name := range names {
		got, err := many.Read(t.Context(), rotator.TenantID(name))
		must(t, err)
		want, err := vaults.Read(t.Context(), rotator.TenantID(name))
		must(t, err)
		if !maps.Equal(got.Fields, want.Fields) || got.Written.IsZero() || got.Version < 1 {
			t.Errorf("reads %v, Vault %v", got, want)
		}
	}
	now, err := many.Time(t.Context())
	must(t, err)
	keys, err := many.MasterKeys(t.Context())
	must(t, err)
	if time.Since(now).Abs() > time.Minute || !keys.Has(1) {
		t.Errorf("it is %s, and the master keys are %v", now, keys.Versions())
	}
}

// A proxy may serve Vault under a path, beside other tools.
func TestVaultMayBeUnderAPath(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	behind, err := url.Parse(f.server.Addr)
	must(t, err)
	front := httptest.NewServer(http.StripPrefix("/tools/vault", httputil.NewSingleHostReverseProxy(behind)))
	t.Cleanup(front.Close)
	f.config.Address = front.URL + "/tools/vault"

	must(t, work(t.Context(), f.config, f.appRole(t, nil)))
}

func TestAddressOfTheAPIOrTheInterfaceIsRefused(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"/v1", "/v1/", "/ui/vault", "/tools/ui", "/ "} {
		config := f.config
		config.Address += path

		_, err := vault.Policy(config)

		if err == nil || !strings.Contains(err.Error(), "vault address") {
			t.Errorf("%q: got %v", path, err)
		}
	}
}
