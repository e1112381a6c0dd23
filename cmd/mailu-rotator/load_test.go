package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"mailu-rotator/internal/faultproxy"
	"mailu-rotator/mailu/mailutest"
)

// A Vault that limits the rate of requests is met by a run with sixteen workers.
// The requests that it refuses are counted: a storm would be many for each that
// it takes.
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
	// The list, and a read and two writes for each tenant. Refused are at most
	// what the workers have in flight at the first refusal, and then, one at a
	// time, what comes after each pause of at least half a second (vault/brake.go)
	// of the seconds that the quota stretches the run to.
	needed, sent := 1+3*tenants, s.countVault(proxy)
	if most := needed + workers + 4*(needed/rate+1); sent <= needed || sent > most {
		t.Errorf("%d requests were sent, want more than the %d that are needed, and no more than %d", sent, needed, most)
	}
}

// limitVault puts a quota on the site's mount, in requests a second. The root
// client meets it too, until it is lifted.
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

// Servers that never answer, as many as there are workers and more: the healthy
// one's tenants are rotated all the same, and the silent ones have been sent
// one request each by then, the canary's.
func TestSilentServersKeepNothingFromAHealthyOne(t *testing.T) {
	const silent, tenants = 4, 12
	s := newTestSite(t)
	for i := range silent {
		name := fmt.Sprintf("silent%d", i)
		server, err := s.startMailu(name)
		must(t, err)
		server.Inject(mailutest.Fault{Kind: mailutest.HangBefore})
		for n := range 2 {
			s.mustSeed(t, fmt.Sprintf("%s-%d", name, n), "mailu="+name, "age=500") // older, so first
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
