package main

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"mailu-rotator/mailu/mailutest"
)

// The tests here end the real daemon during its night, and start it again while the
// night's window is open: every due tenant is rotated, and none of them twice.

// tickPassed is a schedule whose last tick was less than two minutes ago, and whose
// next one is a day later.
func tickPassed() string {
	tick := time.Now().UTC().Add(-time.Minute)
	return fmt.Sprintf("rotation.schedule=%d %d * * *", tick.Minute(), tick.Hour())
}

func (s *site) mustSeedNight(t *testing.T, due int) (all []*tenant) {
	t.Helper()
	for n := range due {
		all = append(all, s.mustSeed(t, fmt.Sprintf("due%d", n), "age=400"))
	}
	return all
}

// mustEndTheNight waits until all are rotated and the sweep has ended, and checks that
// each of them has got one password.
func (s *site) mustEndTheNight(t *testing.T, daemon *program, all []*tenant) {
	t.Helper()
	for _, who := range all {
		await(t, "the rotation of "+who.name, func() error { return s.rotated(t.Context(), who) })
	}
	daemon.mustLog(t, "sweep finished", 1)
	daemon.stop(t)
	for _, who := range all {
		passwords := map[string]bool{}
		for _, set := range who.mailu.Sets(who.user) {
			passwords[set.Password] = true
		}
		if len(passwords) != 1 {
			t.Errorf("%s got %d passwords in one night", who.name, len(passwords))
		}
	}
}

func TestDaemonKilledInItsSweepGoesOnAfterARestart(t *testing.T) {
	s := newTestSite(t)
	all := s.mustSeedNight(t, 6)
	young := s.mustSeed(t, "young", "age=1")
	must(t, s.writeConfig(tickPassed(), "rotation.timezone=UTC", noJitter, shortClaims, "server.timeout=3s"))
	slow := all[0].mailu
	slow.Inject(mailutest.Fault{Kind: mailutest.Delay, Method: http.MethodPatch, Delay: 300 * time.Millisecond})

	first := s.start(t)
	await(t, "the middle of the sweep", func() error {
		if slow.Count(http.MethodPatch) < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	first.kill(t)
	left := 0
	for _, who := range all {
		must(t, s.reachable(t.Context(), who))
		if s.rotated(t.Context(), who) != nil {
			left++
		}
	}
	if left == 0 {
		t.Fatal("the sweep was over")
	}

	slow.ClearFaults()
	s.mustEndTheNight(t, s.start(t), all)
	must(t, s.untouched(t.Context(), young))
}

func TestDaemonStoppedInItsJitterSweepsAfterARestart(t *testing.T) {
	s := newTestSite(t)
	all := s.mustSeedNight(t, 3)
	tick := tickPassed()
	must(t, s.writeConfig(tick, "rotation.timezone=UTC", "rotation.jitter=23h"))

	first := s.start(t)
	first.mustLog(t, "next sweep scheduled", 1)
	first.stop(t)

	must(t, s.writeConfig(tick, "rotation.timezone=UTC", noJitter))
	s.mustEndTheNight(t, s.start(t), all)
}
