package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/internal/netfault"
	"mailu-rotator/rotator"
)

// netfault's tests, against real listeners, cover which error has which kind.
func TestEveryFaultOfTheNetworkHasItsOwnFix(t *testing.T) {
	words := map[netfault.Kind]string{
		netfault.Untrusted:     "vault.ca_file",
		netfault.WrongName:     "a name that Vault's certificate is for",
		netfault.Expired:       "renew Vault's certificate",
		netfault.NotYetValid:   "compare the clocks",
		netfault.Certificate:   "replace Vault's certificate",
		netfault.OldTLS:        "TLS 1.2",
		netfault.WantsClient:   "vault.auth.method cert",
		netfault.Handshake:     "client certificate",
		netfault.NotTLS:        "the scheme",
		netfault.IsTLS:         "the scheme",
		netfault.UnknownName:   "resolve",
		netfault.NoNameService: "resolve",
		netfault.Refused:       "systemctl start vault",
		netfault.Unroutable:    "firewall",
		netfault.TimedOut:      "firewall",
		netfault.Closed:        "closes the connection",
		netfault.Proxy:         "HTTPS_PROXY",
	}
	for kind := netfault.Other + 1; kind <= netfault.Proxy; kind++ {
		fix := fixOfFault(kind)
		if words[kind] == "" || !strings.Contains(fix, words[kind]) {
			t.Errorf("kind %d: %q, want %q", kind, fix, words[kind])
		}
		if kind != netfault.Refused && strings.Contains(fix, "start vault") {
			t.Errorf("kind %d: %q", kind, fix)
		}
	}
}

// The checks are about the first of these that there is.
func TestTheNodeThatServesBest(t *testing.T) {
	order := map[string]answerOfNode{
		"1 active":            {health: &api.HealthResponse{Initialized: true}},
		"2 standby":           {health: &api.HealthResponse{Initialized: true, Standby: true}},
		"3 active DR":         {health: &api.HealthResponse{Initialized: true, ReplicationDRMode: "secondary"}},
		"4 sealed":            {health: &api.HealthResponse{Initialized: true, Sealed: true, Standby: true}},
		"5 of no cluster yet": {health: &api.HealthResponse{Sealed: true, Standby: true}},
		"6 does not answer":   {err: errors.New("refused")},
	}
	names := slices.SortedFunc(maps.Keys(order), func(a, b string) int { return cmp.Compare(order[a].rank(), order[b].rank()) })
	if !slices.IsSorted(names) {
		t.Errorf("got %q", names)
	}
	for i, name := range names[1:] {
		if order[name].rank() == order[names[i]].rank() {
			t.Errorf("%s is as good as %s", name, names[i])
		}
	}
}

func TestHealthOfEveryKindOfNode(t *testing.T) {
	for name, test := range map[string]struct {
		health api.HealthResponse
		lost   bool // the leader
		want   string
	}{
		"new":                 {api.HealthResponse{Sealed: true}, false, "failed skipped skipped"},
		"sealed":              {api.HealthResponse{Initialized: true, Sealed: true, Standby: true}, false, "ok failed skipped"},
		"active":              {api.HealthResponse{Initialized: true}, false, "ok ok ok"},
		"standby":             {api.HealthResponse{Initialized: true, Standby: true}, false, "ok ok ok"},
		"without a leader":    {api.HealthResponse{Initialized: true, Standby: true}, true, "ok ok failed"},
		"performance standby": {api.HealthResponse{Initialized: true, Standby: true, PerformanceStandby: true}, false, "ok ok ok"},
		"DR secondary":        {api.HealthResponse{Initialized: true, Standby: true, ReplicationDRMode: "secondary"}, false, "ok ok failed"},
	} {
		var got []string
		for _, c := range judgeHealth(&test.health, func() bool { return test.lost }) {
			got = append(got, string(c.State))
			if (c.State == rotator.CheckFailed) != (c.Fix != "") {
				t.Errorf("%s: %+v", name, c)
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

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
		cfg := Config{Address: "http://127.0.0.1:8200"}.withDefaults()
		client, err := newAPI(cfg, &http.Client{Transport: network}, newNodes(cfg, nil))
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
			if most := map[bool]int{true: 40, false: 15}[i == 0]; n > most || n == 0 && i < 14 {
				t.Errorf("%d tries in minute %d, want 1 to %d", n, i+1, most)
			}
		}
		if err == nil {
			t.Error("a dead network answered")
		}
	})
}

func TestEveryRedirectIsForeignAndSaysWhere(t *testing.T) {
	asked := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: "vault.example.com", Path: "/v1/x"}}
	for _, test := range []struct {
		status             int
		location, to, what string
	}{
		{300, "https://sso.example.com/login", "redirected to https://sso.example.com ", "Vault itself"},
		{399, "https://sso.example.com/login", "redirected to https://sso.example.com ", "Vault itself"},
		{304, "", "an unknown place", "what stands before Vault"},
		{302, "mailto:a@example.com", "an unknown place", "what stands before Vault"},
		{307, "https://vault.example.com:8200/v1/x", "redirected to https://vault.example.com:8200 ", "vault.other_addresses"},
	} {
		resp := &http.Response{StatusCode: test.status, Header: http.Header{}, Request: asked}
		if test.location != "" {
			resp.Header.Set("Location", test.location)
		}

		err := foreign(asked, resp)

		if err == nil || !strings.Contains(err.Error(), test.to) || !strings.Contains(err.Error(), test.what) {
			t.Errorf("%d to %q: got %v", test.status, test.location, err)
		}
	}
}

// A standby redirects to the active node, which while the leader changes is the lost one.
func TestOnlyARedirectOfAStandbyPasses(t *testing.T) {
	asked := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: "vault.example.com", Path: "/behind/v1/x"}}
	for location, passing := range map[string]bool{
		"https://10.0.0.1:8200/v1/x":           true,
		"https://10.0.0.1:8200/behind/v1/x":    false,
		"https://10.0.0.1:8200/v1/y":           false,
		"https://sso.example.com/login":        false,
		"https://sso.example.com/":             false,
		"/v1/x":                                true,
		"https://vault.example.com/behind/v1/": false,
		"":                                     false,
	} {
		for status := 300; status < 400; status++ {
			resp := &http.Response{StatusCode: status, Header: http.Header{"Location": {location}}, Request: asked}

			again, err := mayPass(t.Context(), nil, &url.Error{Op: "Get", Err: foreign(asked, resp)})

			if again != (passing && status == 307) || err != nil {
				t.Errorf("%d to %q: tried again %t, %v", status, location, again, err)
			}
		}
	}
}

func TestNothingForeignIsTriedAgain(t *testing.T) {
	for _, err := range []error{&foreignError{text: "a page"}, &foreignError{text: "a redirect"}} {
		again, stop := mayPass(t.Context(), nil, &url.Error{Op: "Get", Err: fmt.Errorf("round trip: %w", err)})

		if again || stop != nil || !errors.Is(oneLine(&url.Error{Op: "Get", Err: fmt.Errorf("read: %w", err)}), err) {
			t.Errorf("%v: again %t, %v", err, again, stop)
		}
	}
}
