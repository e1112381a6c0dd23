package main

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailu-rotator/mailu/mailutest"
)

// TestInterruptFinishesWhatIsInFlight: the canary's push is in flight when the signal
// comes, and slow enough to be in flight afterwards.
func TestInterruptFinishesWhatIsInFlight(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"SIGINT": syscall.SIGINT, "SIGTERM": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			s := newTestSite(t)
			canary := s.mustSeed(t, "canary", "age=400")
			for i := range 4 {
				s.mustSeed(t, fmt.Sprintf("later%d", i), "age=300")
			}
			must(t, s.writeConfig())
			canary.mailu.Inject(mailutest.Fault{Kind: mailutest.Delay, Method: http.MethodPatch, Delay: 3 * time.Second})

			run := s.start(t, "--run-now")
			await(t, "the first push", func() error { return seen(canary.mailu, http.MethodPatch) })
			run.signal(t, signal)
			run.mustEnd(t, exitInterrupted)

			must(t, s.rotated(t.Context(), canary))
			for name, other := range s.tenants {
				if name != "canary" {
					must(t, s.untouched(t.Context(), other))
				}
			}
			if !strings.Contains(run.stdout.String(), "5 tenants: 1 rotated, 4 deferred") {
				t.Errorf("the report does not tell what became of all:\n%s", &run.stdout)
			}
		})
	}
}

// A second signal is for an operator who will not wait: the rotation in flight stays
// half-finished, and the next run finishes it.
func TestSecondInterruptEndsTheRunAtOnce(t *testing.T) {
	s := newTestSite(t)
	acme := s.mustSeed(t, "acme", "age=400")
	must(t, s.writeConfig(shortClaims, "server.timeout=3s", "rotation.shutdown_grace=10m"))
	acme.mailu.Inject(mailutest.Fault{Kind: mailutest.HangAfter, Method: http.MethodPatch})

	run := s.start(t, "--run-now")
	await(t, "the push", func() error { return seen(acme.mailu, http.MethodPatch) })
	await(t, "the end", func() error {
		select {
		case <-run.ended:
			return nil
		default:
			// A signal that arrives before the first was handled counts as the first;
			// the last one may come too late.
			_ = run.cmd.Process.Signal(syscall.SIGINT)
			return fmt.Errorf("still running")
		}
	})
	left := s.mustBeHalfFinished(t, acme)

	acme.mailu.ClearFaults()
	s.start(t, "--run-now", "--due-only").mustEnd(t, exitDone)
	s.mustHaveCommitted(t, acme, left.pending)
}
