package main

import (
	"net/http"
	"syscall"
	"testing"

	"mailu-rotator/mailu/mailutest"
)

const verifyEverySecond = "verify.schedule=@every 1s"

func TestDaemonVerifiesAndOnlyLooks(t *testing.T) {
	s := newTestSite(t)
	drifted := s.mustSeed(t, "drifted", "age=1")
	drifted.mailu.AddUser(drifted.user, byHand(drifted))
	must(t, s.writeConfig(never, noJitter, verifyEverySecond))

	daemon := s.start(t)
	daemon.mustLog(t, "next verification scheduled", 1)
	daemon.mustLog(t, "tenant verified", 2)
	daemon.mustLog(t, "verification finished", 2)
	daemon.stop(t)

	must(t, s.untouched(t.Context(), drifted))
}

func TestDaemonRepairsOnlyOnceItIsTold(t *testing.T) {
	s := newTestSite(t)
	drifted := s.mustSeed(t, "drifted", "age=1")
	drifted.mailu.AddUser(drifted.user, byHand(drifted))
	must(t, s.writeConfig(never, noJitter, "verify.schedule="))
	daemon := s.start(t)
	daemon.mustLog(t, "next sweep scheduled", 1)
	must(t, s.untouched(t.Context(), drifted))

	must(t, s.writeConfig(never, noJitter, verifyEverySecond, "verify.repair=true"))
	daemon.signal(t, syscall.SIGHUP)

	await(t, "the repair", func() error { return s.agree(t.Context(), drifted, drifted.first) })
	daemon.mustLog(t, "tenant repaired", 1)
	daemon.stop(t)
}

// An interrupted verification prints and changes nothing, and reports no finding for
// tenants that it did not check.
func TestInterruptedVerificationReportsNothing(t *testing.T) {
	s := newTestSite(t)
	acme := s.mustSeed(t, "acme")
	must(t, s.writeConfig("server.timeout=2m", "rotation.claim_ttl=10m"))
	acme.mailu.Inject(mailutest.Fault{Kind: mailutest.HangAfter, Method: http.MethodGet})

	run := s.start(t, "verify", "--repair")
	await(t, "the question", func() error { return seen(acme.mailu, http.MethodGet) })
	run.signal(t, syscall.SIGINT)
	run.mustEnd(t, exitInterrupted)

	must(t, s.untouched(t.Context(), acme))
	if run.stdout.String() != "" {
		t.Errorf("printed %s", &run.stdout)
	}
	if log := run.stderr.String(); mentions(log, "tenant verified") {
		t.Errorf("told of a tenant that it could not look at:\n%s", log)
	}
}
