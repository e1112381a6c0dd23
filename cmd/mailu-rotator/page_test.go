package main

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

// TestDaemonShowsItsFleetOnThePage: other tests check the page's content; this one
// checks that it shows the real fleet after a sweep.
func TestDaemonShowsItsFleetOnThePage(t *testing.T) {
	s := newTestSite(t)
	old := s.mustSeed(t, "old", "age=400")
	s.mustSeed(t, "young", "age=1")
	s.mustSeed(t, "gone", "age=400", "absent=user")
	must(t, s.writeConfig(everySecond, noJitter, anyPort))

	daemon := s.start(t)
	address := daemon.address(t, 1)
	await(t, "the rotation", func() error { return s.rotated(t.Context(), old) })

	for _, fact := range []string{old.user, old.mailu.Origin(), "3 tenants", "unknown to this server", "rotated"} {
		await(t, "the page to say "+fact, func() error {
			status, body := s.fetch(t, address, "/", "")
			if status != http.StatusOK || !strings.Contains(body, fact) {
				return errors.New("not yet:\n" + body)
			}
			return nil
		})
	}
	daemon.stop(t)
}

func TestPageKeepsItsOwnSecurityPolicy(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "acme", "age=1")
	must(t, s.writeConfig(never, noJitter, anyPort))
	daemon := s.start(t)

	resp, err := http.Get("http://" + daemon.address(t, 1) + "/")
	must(t, err)
	must(t, resp.Body.Close())
	daemon.stop(t)

	policy := resp.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("Content-Security-Policy: %s", policy)
	}
}
