package main

import (
	"net"
	"slices"
	"testing"

	"mailu-rotator/rotator"
	"mailu-rotator/tracing/tracingtest"
)

// collect starts a collector whose spans go to the log scan.
func (s *site) collect(t *testing.T) (*tracingtest.Collector, []string) {
	t.Helper()
	collector := tracingtest.Start(t)
	s.ledger.record(t.Name()+" spans", collector.Bytes)
	return collector, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL}
}

// tree returns each span as its path of names, with the outcome or state and "failed",
// in a stable order.
func tree(t *testing.T, spans []tracingtest.Span) (paths []string) {
	t.Helper()
	byID := map[string]tracingtest.Span{}
	for _, s := range spans {
		byID[s.ID] = s
	}
	for _, s := range spans {
		path := s.Name + s.Attributes["outcome"] + s.Attributes["state"]
		if s.Error != "" {
			path += "!"
		}
		for at := s; at.Parent != ""; {
			parent, known := byID[at.Parent]
			if !known || parent.Trace != s.Trace {
				t.Fatalf("%s has a parent that never came", at.Name)
			}
			at = parent
			path = at.Name + ">" + path
		}
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

func TestTraceOfARun(t *testing.T) {
	s := newTestSite(t)
	old := s.mustSeed(t, "old", "age=400")
	gone := s.mustSeed(t, "gone", "age=300", "absent=user")
	collector, environment := s.collect(t)
	must(t, s.writeConfig())

	s.startIn(t, environment, "--run-now").mustEnd(t, exitFailures)

	want := []string{
		"sweep", "sweep>tenant>commit", "sweep>tenant>look", "sweep>tenant>look!", "sweep>tenant>prepare",
		"sweep>tenant>push", "sweep>tenant>verify", "sweep>tenantfailed!", "sweep>tenantrotated",
	}
	spans := collector.Spans()
	if got := tree(t, spans); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, span := range spans {
		if span.Resource["service.version"] != "v1.2.3-test" {
			t.Errorf("it has resource %v", span.Resource)
		}
		if id := span.Attributes["tenant"]; span.Name == "push" && (id != old.id || span.Attributes["rotation"] == "") || span.Error != "" && id != gone.id {
			t.Errorf("%s has %v", span.Name, span.Attributes)
		}
	}
}

func TestTraceOfAVerificationAndOfARollback(t *testing.T) {
	s := newTestSite(t)
	acme := s.mustSeed(t, "acme", "age=400")
	must(t, s.writeConfig())
	s.start(t, "--run-now").mustEnd(t, exitDone)
	verified, inVerify := s.collect(t)
	restored, inRollback := s.collect(t)

	s.startIn(t, inVerify, "verify").mustEnd(t, exitDone)
	s.startIn(t, inRollback, "rollback", acme.id).mustEnd(t, exitDone)

	if got, want := tree(t, verified.Spans()), []string{"verification", "verification>tenantok"}; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := tree(t, restored.Spans()); !slices.Contains(got, "tenantrestored") || !slices.Contains(got, "tenant>push") {
		t.Errorf("got %q", got)
	}
}

func TestDaemonExportsWhatIsLeftWhenItStops(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "old", "age=400")
	collector, environment := s.collect(t)
	must(t, s.writeConfig(everySecond, noJitter))

	// During the test only the end causes an export.
	daemon := s.startIn(t, append(environment, "OTEL_BSP_SCHEDULE_DELAY=3600000"))
	daemon.mustLog(t, "rotation committed", 1)
	daemon.mustLog(t, "sweep finished", 2)
	daemon.stop(t)

	if got := tree(t, collector.Spans()); !slices.Contains(got, "sweep>tenantrotated") {
		t.Errorf("got %q", got)
	}
}

func TestRunWithoutItsCollectorIsLikeAnyOther(t *testing.T) {
	s := newTestSite(t)
	old := s.mustSeed(t, "old", "age=400")
	must(t, s.writeConfig())
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, nobody.Close())

	run := s.startIn(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + nobody.Addr().String()}, "--run-now")
	run.mustEnd(t, exitDone)

	must(t, s.rotated(t.Context(), old))
	run.mustLog(t, "traces not exported", 1)
}

func TestUnsupportedProtocolIsSaidAndTheRunTakesPlace(t *testing.T) {
	s := newTestSite(t)
	old := s.mustSeed(t, "old", "age=400")
	must(t, s.writeConfig())
	collector, environment := s.collect(t)

	run := s.startIn(t, append(environment, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"), "--run-now")
	run.mustEnd(t, exitDone)

	must(t, s.rotated(t.Context(), old))
	run.mustLog(t, "traces not exported", 1)
	if spans := collector.Spans(); len(spans) != 0 {
		t.Errorf("got %v", spans)
	}
}

func TestTracesDocHasEverySpan(t *testing.T) {
	const path = "../../docs/traces.md"
	page := readDoc(t, path)

	for _, name := range append(rotator.Steps(), rotator.PartSweep, rotator.PartVerification, rotator.PartTenant) {
		if !mentions(page, string(name)) {
			t.Errorf("%s does not have the span %q", path, name)
		}
	}
}
