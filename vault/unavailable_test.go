package vault_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/test/faultproxy"
)

// An error is about Vault if any other request would have met it, and about the record
// otherwise.
func TestErrorsTellVaultFromTheRecord(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	f.config.Patience = 600 * time.Millisecond
	c := f.open(t, f.rootAuth())
	status := func(code int, words string) faultproxy.Fault {
		return faultproxy.Fault{Kind: faultproxy.Status, Status: code, Body: `{"errors":["` + words + `"]}`}
	}
	tests := map[string]struct {
		fault      faultproxy.Fault
		aboutVault bool
	}{
		"sealed":                      {status(503, "Vault is sealed"), true},
		"a standby":                   {status(473, ""), true},
		"a recovery secondary":        {status(472, ""), true},
		"a quota":                     {status(429, "rate limit quota exceeded"), true},
		"no active node":              {status(500, "local node not active but active cluster node not found"), true},
		"a storage without a leader":  {status(500, "Unexpected response code: 500 (No cluster leader)"), true},
		"a proxy without Vault":       {status(502, ""), true},
		"a proxy that waits for long": {status(504, ""), true},
		"a reset":                     {faultproxy.Fault{Kind: faultproxy.ResetBefore}, true},
		"silence":                     {faultproxy.Fault{Kind: faultproxy.Hang}, true},
		"damaged storage":             {status(500, "could not find version data"), false},
		"a proxy's 500":               {faultproxy.Fault{Kind: faultproxy.Status, Status: 500, Body: "<html>"}, false},
		"an unfit request":            {status(400, "invalid path"), false},
		"too large a request":         {status(413, "http: request body too large"), false},
		"permission denied":           {status(403, "permission denied"), false},
		"nothing there":               {status(404, ""), false},
	}
	for name, test := range tests {
		for method, ask := range map[string]func() error{
			http.MethodGet: func() error { _, err := c.Read(t.Context(), tenant); return err },
			http.MethodPut: func() error {
				_, err := c.Write(t.Context(), tenant, rotator.Document{Version: 1, Fields: map[string]any{"v": "2"}})
				return err
			},
		} {
			f.proxy.Clear()
			test.fault.Match = faultproxy.On(method, dataOf)
			f.proxy.Inject(test.fault)

			err := ask()

			if err == nil || errors.Is(err, rotator.ErrUnavailable) != test.aboutVault {
				t.Errorf("%s, %s: about Vault %t, want %t: %v", name, method, !test.aboutVault, test.aboutVault, err)
			}
		}
	}
}

func TestATokenThatCannotBeReplacedIsAboutVault(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	auth := f.appRole(t, nil)
	c := f.open(t, auth)
	f.delete(t, "auth/approle/role/rotator")
	f.revokeAll(t)

	_, err := c.Read(t.Context(), tenant)

	if !errors.Is(err, rotator.ErrUnavailable) || !errors.Is(err, rotator.ErrForbidden) {
		t.Errorf("got %v", err)
	}
}

// Answers that arrived and cannot be used.
func TestGarbageIsAboutTheRecord(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())
	for _, body := range []string{"", "null", "[]", "<html>", `{"data":`, `{"data":{"data":{},"metadata":{"version":"x"}}}`} {
		f.proxy.Clear()
		f.proxy.Inject(faultproxy.Fault{Match: faultproxy.On("GET", dataOf), Kind: faultproxy.Status, Status: 200, Body: body})

		_, err := c.Read(t.Context(), tenant)

		if err == nil || errors.Is(err, rotator.ErrUnavailable) || !strings.Contains(err.Error(), "read vault/data/smtp/") {
			t.Errorf("%q: got %v", body, err)
		}
	}
}

// Vault stores and serves more than this client reads: its own limit is that of a
// request.
func TestARecordOverTheLimitIsAboutTheRecord(t *testing.T) {
	f := newFixture(t)
	huge := map[string]any{}
	for i := range 9 {
		huge[strings.Repeat("i", i+1)] = strings.Repeat("x", 1<<20)
	}
	f.withTenant(t, huge)
	c := f.open(t, f.rootAuth())

	_, err := c.Read(t.Context(), tenant)

	if err == nil || errors.Is(err, rotator.ErrUnavailable) || !strings.Contains(err.Error(), "no record of more than 8 MiB is read") {
		t.Errorf("got %v", err)
	}
}

// Vault fails permanently for a record with damaged storage; a Vault without a leader
// recovers.
func TestADamagedRecordIsAskedForFiveTimes(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())
	for words, tries := range map[string]int{"could not find version data": 5, "No cluster leader": 8} {
		f.proxy.Clear()
		f.proxy.Inject(faultproxy.Fault{
			Match: faultproxy.On("GET", dataOf), Kind: faultproxy.Status, Status: 500, Body: `{"errors":["` + words + `"]}`, Times: 7,
		})
		before := f.proxy.Count("GET", dataOf)

		_, err := c.Read(t.Context(), tenant)

		if n := f.proxy.Count("GET", dataOf) - before; n != tries || (err == nil) != (tries == 8) {
			t.Errorf("%s: %d requests, %v", words, n, err)
		}
	}
}

// Requests that all records depend on are retried, whatever the 500 says.
func TestThe500OfAListIsWaitedFor(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())
	f.proxy.Inject(faultproxy.Fault{
		Match: func(r *http.Request) bool { return r.URL.Query().Get("list") == "true" },
		Kind:  faultproxy.Status, Status: 500, Body: `{"errors":["x"]}`, Times: 7,
	})

	names, err := listed(c.List(t.Context()))

	if err != nil || len(names) != 1 {
		t.Errorf("got %v, %v", names, err)
	}
}

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
