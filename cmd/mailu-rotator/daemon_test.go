package main

import (
	"net/http"
	"os"
	"syscall"
	"testing"

	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/test/faultproxy"
)

// everySecond makes a daemon sweep all the time; never means not during a test.
const (
	everySecond = "rotation.schedule=@every 1s"
	never       = "rotation.schedule=0 0 29 2 *"
	noJitter    = "rotation.jitter=0s"
)

func TestDaemonFinishesWhatIsHalfFinishedAtItsStart(t *testing.T) {
	s := newTestSite(t)
	half := s.mustSeed(t, "half", "age=1", "pending=dead")
	old := s.mustSeed(t, "old", "age=400")
	must(t, s.writeConfig(never, noJitter))

	daemon := s.start(t)
	await(t, "the half-finished rotation", func() error { return s.finished(t.Context(), half) })
	daemon.mustLog(t, "next sweep scheduled", 1)
	daemon.stop(t)

	must(t, s.untouched(t.Context(), old))
}

func TestDaemonRotatesWhatIsDue(t *testing.T) {
	s := newTestSite(t)
	old := s.mustSeed(t, "old", "age=400")
	young := s.mustSeed(t, "young", "age=1")
	must(t, s.writeConfig(everySecond, noJitter))

	daemon := s.start(t)
	await(t, "the tenant that is due", func() error { return s.rotated(t.Context(), old) })
	daemon.mustLog(t, "sweep finished", 3)
	daemon.stop(t)

	must(t, s.untouched(t.Context(), young))
	if sets := old.mailu.PasswordSets(old.user); sets != 1 {
		t.Errorf("rotated %d times, was due once", sets)
	}
}

func TestReloadRefusesABadConfigurationAndTakesAGoodOne(t *testing.T) {
	s := newTestSite(t)
	must(t, s.writeConfig(everySecond, noJitter))
	good, err := os.ReadFile(s.configFile())
	must(t, err)
	first := s.mustSeed(t, "first", "age=400")
	daemon := s.start(t)
	await(t, "a rotation", func() error { return s.rotated(t.Context(), first) })

	// The second server is not listed yet, so its tenant is skipped.
	_, err = s.startMailu("two")
	must(t, err)
	foreign := s.mustSeed(t, "foreign", "mailu=two", "age=400")
	must(t, os.WriteFile(s.configFile(), []byte("rotation: {workers: none}"), 0o600))
	daemon.signal(t, syscall.SIGHUP)
	daemon.mustLog(t, "configuration refused, the old one stays", 1)
	second := s.mustSeed(t, "second", "mailu=one", "age=400")
	await(t, "a rotation by the old configuration", func() error { return s.rotated(t.Context(), second) })
	must(t, s.untouched(t.Context(), foreign))

	must(t, s.writeConfig(everySecond, noJitter))
	daemon.signal(t, syscall.SIGHUP)
	daemon.mustLog(t, "configuration renewed", 1)
	await(t, "a rotation by the new configuration", func() error { return s.rotated(t.Context(), foreign) })

	must(t, os.WriteFile(s.configFile(), good, 0o600))
	daemon.signal(t, syscall.SIGHUP)
	daemon.mustLog(t, "configuration renewed", 2)
	daemon.stop(t)
}

func TestDaemonWithoutVaultWaitsForIt(t *testing.T) {
	s := newTestSite(t)
	half := s.mustSeed(t, "half", "pending=dead")
	proxy := s.interpose(t)
	must(t, s.writeConfig(never, noJitter))
	proxy.Inject(faultproxy.Fault{Kind: faultproxy.ResetBefore})

	daemon := s.start(t)
	daemon.mustLog(t, "waiting for vault", 2)
	proxy.Clear()
	await(t, "the work", func() error { return s.finished(t.Context(), half) })
	daemon.stop(t)
}

func TestDaemonEndsWhileItWaitsForVault(t *testing.T) {
	s := newTestSite(t)
	proxy := s.interpose(t)
	must(t, s.writeConfig(never, noJitter))
	proxy.Inject(faultproxy.Fault{Kind: faultproxy.ResetBefore})

	daemon := s.start(t)
	daemon.mustLog(t, "waiting for vault", 1)
	daemon.stop(t)
}

// The grace period limits the shutdown: because of a hanging server systemd must not
// kill the daemon. The rotation stays half-finished for the next daemon.
func TestDaemonWaitsNoLongerThanItsGrace(t *testing.T) {
	s := newTestSite(t)
	acme := s.mustSeed(t, "acme", "age=400")
	must(t, s.writeConfig(everySecond, noJitter, "rotation.shutdown_grace=1s", "server.timeout=2m", "rotation.claim_ttl=10m"))
	acme.mailu.Inject(mailutest.Fault{Kind: mailutest.HangAfter, Method: http.MethodPatch})

	daemon := s.start(t)
	await(t, "the push", func() error { return seen(acme.mailu, http.MethodPatch) })
	daemon.stop(t)

	s.mustBeHalfFinished(t, acme)
}

func TestDaemonDoesNotStartWithABadConfiguration(t *testing.T) {
	s := newTestSite(t)
	must(t, s.writeConfig("rotation.schedule=at night"))

	s.start(t).mustEnd(t, exitCannotRun)
}

// stop ends a daemon as systemd does.
func (p *program) stop(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	p.mustEnd(t, exitDone)
	p.mustLog(t, "daemon stopped", 1)
}

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
