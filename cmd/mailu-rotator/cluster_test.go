package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"syscall"
	"testing"
	"time"

	"mailu-rotator/internal/cluster/natstest"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
)

// newClusterSite is a site with two Mailu servers and a NATS server, whose
// configuration names them.
func newClusterSite(t *testing.T, tenants int, settings ...string) (*site, *natstest.Server) {
	t.Helper()
	s := newTestSite(t)
	_, err := s.startMailu("two")
	must(t, err)
	nats := natstest.Run(t, natstest.Options{})
	for i := range tenants {
		s.mustSeed(t, fmt.Sprintf("tenant%02d", i), []string{"mailu=one", "mailu=two"}[i%2], "age=400")
	}
	must(t, s.writeConfig(append(settings, noJitter, "cluster.engine=nats", fmt.Sprintf("cluster.servers=[%q]", nats.URL), "cluster.ack_wait=5s", "cluster.batch=3")...))
	return s, nats
}

// startWorker starts one, and waits until planners know of it.
func (s *site) startWorker(t *testing.T) *program {
	t.Helper()
	worker := s.start(t, "worker")
	worker.mustLog(t, string(rotator.WorkerReady), 1)
	return worker
}

func (s *site) mustBeRotatedOnce(t *testing.T) {
	t.Helper()
	for _, who := range s.tenants {
		must(t, s.rotated(t.Context(), who))
		if sets := who.mailu.PasswordSets(who.user); sets != 1 {
			t.Errorf("%s was sent %d passwords, want 1", who.name, sets)
		}
	}
}

func TestDaemonsOfAClusterRotateEachTenantOnce(t *testing.T) {
	s, _ := newClusterSite(t, 20, everySecond)

	programs := []*program{s.start(t), s.start(t), s.startWorker(t)}

	await(t, "the whole fleet", func() error {
		for _, who := range s.tenants {
			must(t, s.reachable(t.Context(), who))
			if err := s.rotated(t.Context(), who); err != nil {
				return err
			}
		}
		return nil
	})
	for _, p := range programs {
		p.stop(t)
	}
	s.mustBeRotatedOnce(t)
}

func TestStoppedPlannerLeavesTheRestToTheOther(t *testing.T) {
	s, _ := newClusterSite(t, 60, "rotation.schedule=0 0 1 1 *", "rotation.window=8760h") // one tick, whose window is open
	for _, mailu := range s.mailus {
		mailu.Inject(mailutest.Fault{Kind: mailutest.Delay, Method: http.MethodPatch, Delay: 300 * time.Millisecond})
	}
	first := s.start(t)
	await(t, "the first rotation", func() error {
		for _, who := range s.tenants {
			if s.rotated(t.Context(), who) == nil {
				return nil
			}
		}
		return errors.New("none yet")
	})
	second := s.start(t)
	second.mustLog(t, string(rotator.WorkerReady), 1)

	first.stop(t)

	await(t, "the whole fleet", func() error {
		for _, who := range s.tenants {
			if err := s.rotated(t.Context(), who); err != nil {
				return err
			}
		}
		return nil
	})
	second.stop(t)
	s.mustBeRotatedOnce(t)
}

func TestEmergencyRunSurvivesAKilledWorker(t *testing.T) {
	s, _ := newClusterSite(t, 20, never, "rotation.claim_ttl=15s", "server.timeout=10s") // how long the others wait for the victim's tenants
	victim, other := s.startWorker(t), s.startWorker(t)

	run := s.start(t, "--run-now", "--output", "json")
	await(t, "the first rotations", func() error {
		for _, who := range s.tenants {
			if s.rotated(t.Context(), who) == nil {
				return nil
			}
		}
		return errors.New("none yet")
	})
	victim.kill(t)
	run.mustEnd(t, exitDone)
	other.stop(t)

	var report struct {
		RotatedBefore time.Time      `json:"rotated_before"`
		Summary       map[string]int `json:"summary"`
	}
	must(t, json.Unmarshal([]byte(run.stdout.String()), &report))
	if done := report.Summary["rotated"] + report.Summary["finished"]; done != 20 {
		t.Errorf("summary %v, want 20 rotated or finished", report.Summary)
	}
	for _, who := range s.tenants {
		s.mustHaveOnePasswordSince(t, who, report.RotatedBefore)
	}
}

func TestEmergencyRunWithoutWorkers(t *testing.T) {
	s, _ := newClusterSite(t, 4, never)

	together := s.start(t, "--run-now")
	together.mustEnd(t, exitFailures)
	for _, who := range s.tenants {
		must(t, s.untouched(t.Context(), who))
	}
	s.start(t, "--run-now", "--local").mustEnd(t, exitDone)

	s.mustBeRotatedOnce(t)
}

func TestEmergencyRunWithoutNATS(t *testing.T) {
	s, nats := newClusterSite(t, 2, never)
	nats.Stop()

	s.start(t, "--run-now").mustEnd(t, exitCannotRun)
	s.start(t, "--run-now", "--local").mustEnd(t, exitDone)

	s.mustBeRotatedOnce(t)
}

// The terminal of an emergency run dies. The workers go on, and another terminal gets
// the report.
func TestAttachFollowsARunWhoseTerminalDied(t *testing.T) {
	s, _ := newClusterSite(t, 20, never)
	worker := s.startWorker(t)
	run := s.start(t, "--run-now")
	id := ""
	await(t, "the run's id", func() error {
		if found := regexp.MustCompile(`all-[0-9a-f]{8}`).FindString(run.stderr.String()); found != "" {
			id = found
			return nil
		}
		return errors.New("not logged yet")
	})
	await(t, "the first rotation", func() error {
		for _, who := range s.tenants {
			if s.rotated(t.Context(), who) == nil {
				return nil
			}
		}
		return errors.New("none yet")
	})
	run.kill(t)

	attached := s.start(t, "--run-now", "--attach", id, "--output", "json")
	attached.mustEnd(t, exitDone)

	if rows := attached.mustReport(t); len(rows) != 20 {
		t.Errorf("the report has %d rows, want 20", len(rows))
	}
	worker.stop(t)
	s.mustBeRotatedOnce(t)
}

func TestInterruptedRunOfAClusterIsWithdrawn(t *testing.T) {
	s, _ := newClusterSite(t, 40, never)
	worker := s.startWorker(t)
	run := s.start(t, "--run-now", "--output", "json")
	await(t, "the first rotation", func() error {
		for _, who := range s.tenants {
			if s.rotated(t.Context(), who) == nil {
				return nil
			}
		}
		return errors.New("none yet")
	})
	run.signal(t, syscall.SIGINT)
	run.mustEnd(t, exitInterrupted)

	deferred := 0
	for _, said := range run.mustReport(t) {
		if len(said) > 8 && said[:8] == "deferred" {
			deferred++
		}
	}
	if deferred == 0 {
		t.Error("no tenant is deferred: the run was not withdrawn, or ended too early for this test")
	}
	worker.stop(t)
	untouched := 0
	for _, who := range s.tenants {
		if s.untouched(t.Context(), who) == nil {
			untouched++
		}
	}
	if untouched != deferred {
		t.Errorf("%d tenants are untouched, and %d were reported as deferred", untouched, deferred)
	}
}
