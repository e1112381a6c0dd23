package tracing_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"mailu-rotator/rotator"
	"mailu-rotator/tracing"
	"mailu-rotator/tracing/tracingtest"
)

// bench is a tracer with the environment of the test, and its reports.
type bench struct {
	*tracing.Tracer
	mu   sync.Mutex
	told []string
}

func newBench(t *testing.T, endpoint string) *bench {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
	b := &bench{}
	var err error
	b.Tracer, err = tracing.Start(os.Getenv, "v1.2.3", func(err error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.told = append(b.told, err.Error())
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tenant is one tenant of a run with one step.
func (b *bench) tenant(ctx context.Context, outcome rotator.Outcome, err error) {
	ctx, end := b.Trace(ctx, rotator.Part{Name: rotator.PartTenant, Tenant: "acme", Origin: "https://mail.example.com", Outcome: &outcome})
	_, endStep := b.Trace(ctx, rotator.Part{Name: rotator.PartPush, Tenant: "acme", Origin: "https://mail.example.com", Rotation: "r1"})
	endStep(err)
	end(err)
}

// run is a sweep over one tenant.
func (b *bench) run(t *testing.T, outcome rotator.Outcome, err error) {
	ctx, end := b.Trace(t.Context(), rotator.Part{Name: rotator.PartSweep})
	b.tenant(ctx, outcome, err)
	end(nil)
}

func TestPartsBecomeSpans(t *testing.T) {
	collector := tracingtest.Start(t)
	b := newBench(t, collector.URL)

	b.run(t, rotator.Refused, errors.New("too weak"))
	b.Close(t.Context())

	spans := collector.Spans()
	if len(spans) != 3 {
		t.Fatalf("got %+v", spans)
	}
	push, tenant, sweep := spans[0], spans[1], spans[2]
	if push.Parent != tenant.ID || tenant.Parent != sweep.ID || sweep.Parent != "" || push.Trace != sweep.Trace || tenant.Trace != sweep.Trace {
		t.Errorf("they do not nest: %+v", spans)
	}
	if push.Name != "push" || push.Attributes["rotation"] != "r1" || push.Attributes["tenant"] != "acme" || push.Attributes["origin"] != "https://mail.example.com" {
		t.Errorf("got %+v", push)
	}
	if tenant.Name != "tenant" || tenant.Attributes["outcome"] != "refused" || tenant.Error != "too weak" {
		t.Errorf("got %+v", tenant)
	}
	if sweep.Name != "sweep" || len(sweep.Attributes) != 0 || sweep.Error != "" {
		t.Errorf("got %+v", sweep)
	}
	if r := sweep.Resource; r["service.name"] != "mailu-rotator" || r["service.version"] != "v1.2.3" || r["host.name"] == "" {
		t.Errorf("got resource %v", r)
	}
}

// A tenant that another process rotated, or that must wait, has a reason but no error.
func TestOutcomesThatAreNoFailureAreNoErrors(t *testing.T) {
	collector := tracingtest.Start(t)
	b := newBench(t, collector.URL)

	b.run(t, rotator.Fresh, errors.New("rotated by another process"))
	b.Close(t.Context())

	if tenant := collector.Spans()[1]; tenant.Error != "" || tenant.Attributes["outcome"] != "fresh" {
		t.Errorf("got %+v", tenant)
	}
}

func TestStandardVariablesAreHonoured(t *testing.T) {
	collector := tracingtest.Start(t)
	t.Setenv("OTEL_SERVICE_NAME", "rotation")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test,service.version=other")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b,x-other=c")
	b := newBench(t, collector.URL)

	b.run(t, rotator.Rotated, nil)
	b.Close(t.Context())

	r := collector.Spans()[0].Resource
	if r["service.name"] != "rotation" || r["deployment.environment"] != "test" || r["service.version"] != "other" {
		t.Errorf("got resource %v", r)
	}
	if h := collector.Headers()[0]; h.Get("X-Key") != "a b" || h.Get("X-Other") != "c" {
		t.Errorf("got headers %v", h)
	}
}

func TestSamplerCanTurnSpansOff(t *testing.T) {
	collector := tracingtest.Start(t)
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	b := newBench(t, collector.URL)

	b.run(t, rotator.Rotated, nil)
	b.Close(t.Context())

	if spans := collector.Spans(); len(spans) != 0 {
		t.Errorf("got %+v", spans)
	}
}

func TestWithoutVariablesNothingIsStarted(t *testing.T) {
	for name, variables := range map[string]map[string]string{
		"none":               {},
		"other variables":    {"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_SAMPLER": "always_on"},
		"metrics only":       {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://localhost:4318/v1/metrics"},
		"SDK turned off":     {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_SDK_DISABLED": "True"},
		"exporter is none":   {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318/x", "OTEL_TRACES_EXPORTER": "none"},
		"endpoint but empty": {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
	} {
		before := runtime.NumGoroutine()

		tracer, err := tracing.Start(func(name string) string { return variables[name] }, "v1", nil)

		if tracer != nil || err != nil || runtime.NumGoroutine() != before {
			t.Errorf("%s: got %v, %v, %d goroutines more", name, tracer, err, runtime.NumGoroutine()-before)
		}
	}
}

func TestWhatIsNotSupportedIsSaid(t *testing.T) {
	const key = "s3cret%zz"
	for variable, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_PROTOCOL":        "grpc",
		"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
		"OTEL_TRACES_EXPORTER":               "zipkin",
		"OTEL_EXPORTER_OTLP_ENDPOINT":        "localhost:4318",
		"OTEL_EXPORTER_OTLP_HEADERS":         "x-key=fine,x-key=" + key,
		"OTEL_EXPORTER_OTLP_TRACES_HEADERS":  key,
	} {
		variables := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}
		variables[variable] = value

		tracer, err := tracing.Start(func(name string) string { return variables[name] }, "v1", nil)

		named := err != nil && strings.HasPrefix(err.Error(), strings.Replace(variable, "TRACES_PROTOCOL", "PROTOCOL", 1))
		if tracer != nil || !named || strings.Contains(err.Error(), key) {
			t.Errorf("%s: got %v, %v", variable, tracer, err)
		}
	}
}

func TestUnreachableCollectorIsToldOnceARun(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
	b := newBench(t, "http://"+closed.Addr().String())

	b.run(t, rotator.Rotated, nil)
	b.run(t, rotator.Rotated, nil)
	b.Close(t.Context())

	// Exports run concurrently with runs: the first export may have failed during the
	// second run.
	if n := len(b.told); n < 1 || n > 2 || !strings.Contains(b.told[0], "connection refused") {
		t.Errorf("told %q", b.told)
	}
}

func TestAnswerOfAWrongServerIsCutOff(t *testing.T) {
	page := strings.Repeat("<p>not here</p>", 1000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, page, http.StatusNotFound) }))
	defer server.Close()
	b := newBench(t, server.URL)

	b.run(t, rotator.Rotated, nil)
	b.Close(t.Context())

	if len(b.told) != 1 || !strings.Contains(b.told[0], "404") || len(b.told[0]) > 500 {
		t.Errorf("told %q", b.told)
	}
}

// The collector accepts the connection and never answers.
func TestCloseWaitsNoLongerThanItMay(t *testing.T) {
	asked, release := make(chan struct{}, 1), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-release
	}))
	defer server.Close()
	defer close(release)
	b := newBench(t, server.URL)
	ctx, cancel := context.WithCancel(t.Context())

	b.run(t, rotator.Rotated, nil)
	go func() { <-asked; cancel() }()
	b.Close(ctx)

	if len(b.told) != 1 || !slices.ContainsFunc(b.told, func(s string) bool { return strings.Contains(s, "cancel") }) {
		t.Errorf("told %q", b.told)
	}
}
