package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/test/faultproxy"
)

// A run with sixteen workers meets a Vault that limits the rate of requests. The test
// counts refused requests: without a common pause there would be many for each accepted
// one.
func TestAVaultQuotaSlowsTheRunAndCausesNoStorm(t *testing.T) {
	const tenants, rate, workers = 48, 15, 16
	s := newTestSite(t)
	for i := range tenants {
		s.mustSeed(t, fmt.Sprintf("tenant%02d", i), "age=400")
	}
	proxy := s.interpose(t)
	must(t, s.writeConfig())
	lift := s.limitVault(t, rate)

	run := s.start(t, "--run-now")
	run.mustEnd(t, exitDone)
	lift()

	for _, who := range s.tenants {
		must(t, s.rotated(t.Context(), who))
	}
	// Required: the list, and a read and two writes for each tenant. Refused: at most
	// the requests in flight at the first refusal, and then, one at a time, one request
	// after each pause of at least half a second (vault/retry.go) during the seconds
	// that the quota adds to the run.
	needed, sent := 1+3*tenants, s.countVault(proxy)
	if most := needed + workers + 4*(needed/rate+1); sent <= needed || sent > most {
		t.Errorf("%d requests were sent, want more than the %d that are needed, and no more than %d", sent, needed, most)
	}
}

// limitVault sets a quota on the site's mount, in requests a second. It also applies to
// the root client, until it is lifted.
func (s *site) limitVault(t *testing.T, rate int) (lift func()) {
	t.Helper()
	quota := "sys/quotas/rate-limit/" + s.name
	_, err := s.root.Logical().WriteWithContext(t.Context(), quota, map[string]any{"rate": rate, "path": s.name + "/"})
	must(t, err)
	return func() {
		t.Helper()
		_, err := s.root.Logical().DeleteWithContext(t.Context(), quota)
		must(t, err)
	}
}

// countVault counts the requests for the site's records.
func (s *site) countVault(proxy *faultproxy.Proxy) (n int) {
	for _, r := range proxy.Requests() {
		if strings.HasPrefix(r.Path, "/v1/"+s.name+"/") {
			n++
		}
	}
	return n
}

// At least as many servers never answer as there are workers: the healthy server's
// tenants are still rotated, and each silent server has received only one request, the
// canary's.
func TestSilentServersKeepNothingFromAHealthyOne(t *testing.T) {
	const silent, tenants = 4, 12
	s := newTestSite(t)
	for i := range silent {
		name := fmt.Sprintf("silent%d", i)
		server, err := s.startMailu(name)
		must(t, err)
		server.Inject(mailutest.Fault{Kind: mailutest.HangBefore})
		for n := range 2 {
			s.mustSeed(t, fmt.Sprintf("%s-%d", name, n), "mailu="+name, "age=500") // older, so earlier in the order
		}
	}
	var healthy []*tenant
	for i := range tenants {
		healthy = append(healthy, s.mustSeed(t, fmt.Sprintf("tenant%02d", i), "mailu=one", "age=400"))
	}
	must(t, s.writeConfig("rotation.workers=2", "rotation.shutdown_grace=0s", "server.timeout=5m", "rotation.claim_ttl=10m"))

	run := s.start(t, "--run-now")
	await(t, "the healthy server's tenants", func() error {
		for _, who := range healthy {
			if err := s.rotated(t.Context(), who); err != nil {
				return err
			}
		}
		return nil
	})
	for _, m := range s.mailus[1:] {
		if n := m.Count(""); n != 1 {
			t.Errorf("%s was sent %d requests, want 1", m.name, n)
		}
	}
	run.signal(t, syscall.SIGINT)
	run.mustEnd(t, exitInterrupted)

	if n := s.mailus[0].Count(""); n != 3*tenants {
		t.Errorf("the healthy server was sent %d requests, want %d", n, 3*tenants)
	}
}
