package main

import (
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/test/faultproxy"
	"mailu-rotator/vault/vaulttest"
)

func TestTokenRevokedDuringTheRunIsReplaced(t *testing.T) {
	s := newTestSite(t)
	acme := s.mustSeed(t, "acme", "age=400")
	beta := s.mustSeed(t, "beta", "age=300")
	must(t, s.enableAppRole(t.Context(), s.name))
	must(t, s.writeConfig())
	acme.mailu.Inject(mailutest.Fault{Kind: mailutest.Delay, Method: http.MethodPatch, Delay: time.Second})

	run := s.start(t, "--run-now")
	await(t, "the first push", func() error { return seen(acme.mailu, http.MethodPatch) })
	must(t, s.root.Sys().RevokePrefixWithContext(t.Context(), "auth/"+s.name+"/login"))
	run.mustEnd(t, exitDone)

	must(t, s.rotated(t.Context(), acme))
	must(t, s.rotated(t.Context(), beta))
}

// A run revokes its token last: otherwise it would stay valid until its lease ends.
func TestTokenIsRevokedAtTheEnd(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "acme", "age=400")
	must(t, s.enableAppRole(t.Context(), s.name))
	proxy := s.interpose(t)
	must(t, s.writeConfig())

	s.start(t, "--run-now").mustEnd(t, exitDone)

	if n := proxy.Count("", "/v1/auth/token/revoke-self"); n != 1 {
		t.Errorf("%d requests to revoke the token, want 1", n)
	}
}

// An unreachable Vault may come back: an emergency run says what it waits for, and an
// operator can end it. Nothing has been changed then.
func TestUnreachableVaultIsWaitedForUntilInterrupted(t *testing.T) {
	s := newTestSite(t)
	acme := s.mustSeed(t, "acme", "age=400")
	proxy := s.interpose(t)
	proxy.Inject(faultproxy.Fault{Kind: faultproxy.ResetBefore})
	must(t, s.writeConfig())

	run := s.start(t, "--run-now")
	run.mustLog(t, "waiting for vault", 2)
	run.signal(t, syscall.SIGINT)
	run.mustEnd(t, exitInterrupted)

	if run.stdout.String() != "" {
		t.Errorf("a run that did not take place printed:\n%s", &run.stdout)
	}
	must(t, s.untouched(t.Context(), acme))
}

// An untrusted certificate does not become trusted by waiting.
func TestUntrustedVaultEndsTheRun(t *testing.T) {
	s := newTestSite(t)
	stranger := vaulttest.Run(t, vaulttest.Options{TLS: true})
	s.address = stranger.Addr
	must(t, s.writeConfig())

	run := s.start(t, "--run-now")
	run.mustEnd(t, exitCannotRun)

	if !strings.Contains(run.stderr.String(), "certificate signed by unknown authority") {
		t.Errorf("it does not say why:\n%s", &run.stderr)
	}
}

// Somebody who asks for the status wants to know soon that there is no answer; the
// error says what is wrong.
func TestStatusGivesUpOnADeadVaultAfterSeconds(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it never accepts
	must(t, err)
	t.Cleanup(func() { _ = silent.Close() })

	for address, want := range map[string]string{
		"http://127.0.0.1:1":               "connection refused",
		"http://" + silent.Addr().String(): "context deadline exceeded",
	} {
		t.Run(want, func(t *testing.T) {
			s := newTestSite(t)
			s.mustSeed(t, "acme")
			s.address = address
			must(t, s.writeConfig())
			started := time.Now()

			run := s.start(t, "status")
			run.mustEnd(t, exitCannotRun)

			if took := time.Since(started); took > 2*statusPatience {
				t.Errorf("it took %v", took)
			}
			if !strings.Contains(run.stderr.String(), want) {
				t.Errorf("it does not say why:\n%s", &run.stderr)
			}
		})
	}
}
