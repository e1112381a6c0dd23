package monitor

import (
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

const namespace = "mailu_rotator"

// Metrics holds a daemon's metrics. Its methods are callbacks of runs and clients: they
// may be called concurrently and do not block.
type Metrics struct {
	registry *prometheus.Registry
	clock    rotator.Clock
	fleet    *fleetCollector

	rotations   *prometheus.CounterVec
	steps       *prometheus.HistogramVec
	runs        *prometheus.CounterVec
	runDuration *prometheus.GaugeVec
	runFailures *prometheus.GaugeVec
	lastRun     *prometheus.GaugeVec
	lastSuccess *prometheus.GaugeVec

	vaultRequests *prometheus.HistogramVec
	vaultErrors   *prometheus.CounterVec
	tokenExpiry   *prometheus.GaugeVec
	mailuRequests *prometheus.HistogramVec
	mailuErrors   *prometheus.CounterVec
	reloaded      prometheus.Gauge
	latencies     latencies

	mu      sync.Mutex // guards started, and orders calls of Renew
	started time.Time  // of the current run; the daemon has one at a time
}

// Scope is the part of the configuration that concerns the metrics. A reload replaces
// it whole.
type Scope struct {
	Timetable   rotator.Timetable // tells due tenants from overdue ones
	Origins     []rotator.Origin  // of the configured servers
	Method      string            // of the login to Vault
	TenantLabel bool              // adds series of each tenant
}

// NewMetrics returns metrics of the fleet on the cache. version is the program's;
// operations lists all values that [Metrics.VaultRequest] will receive.
func NewMetrics(clock rotator.Clock, cache *status.Cache, version string, operations []string, scope Scope) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), clock: clock, fleet: newFleetCollector(cache)}
	m.makeRunMetrics()
	m.makeRequestMetrics(operations)
	build := m.gauge("build_info", "Always 1; the labels say which build this is.", "version", "goversion")
	build.WithLabelValues(version, runtime.Version()).Set(1)
	m.registry.MustRegister(
		m.fleet,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.fleet.scope.Store(&Scope{})
	m.Renew(scope)
	return m
}

func (m *Metrics) makeRunMetrics() {
	m.rotations = m.counter("rotations_total", "Tenants that runs were done with, by outcome.", "origin", "outcome")
	m.steps = m.histogram("step_duration_seconds", "Time that one step of a rotation took, failed ones too.",
		[]float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}, "step")
	m.runs = m.counter("runs_total", "Runs, by how they ended.", "task", "result")
	m.runDuration = m.gauge("last_run_duration_seconds", "Time that the last run to its end took.", "task")
	m.runFailures = m.gauge("last_run_failures", "Tenants that failed in the last sweep or recovery, or were problems in the last verification.", "task")
	m.lastRun = m.gauge("last_run_timestamp_seconds", "When a run last ended or was found impossible; 0 if never.", "task")
	m.lastSuccess = m.gauge("last_success_timestamp_seconds", "When a run last came to its end, whatever its tenants' outcomes; 0 if never.", "task")
	for _, step := range rotator.Steps() {
		m.steps.WithLabelValues(string(step))
	}
	for _, task := range tasks() {
		for _, result := range []string{runOK, runFailures, runInterrupted, runRefused} {
			m.runs.WithLabelValues(task, result)
		}
		// Not runFailures: a 0 that no run has counted would resolve an alert.
		for _, gauge := range []*prometheus.GaugeVec{m.runDuration, m.lastRun, m.lastSuccess} {
			gauge.WithLabelValues(task)
		}
	}
}

func (m *Metrics) makeRequestMetrics(operations []string) {
	m.vaultRequests = m.histogram("vault_request_duration_seconds", "Time until Vault's answer to one HTTP request began, each try by itself.",
		[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60}, "operation")
	m.vaultErrors = m.counter("vault_request_errors_total", "HTTP requests to Vault that brought no answer, or an error.", "operation", "class")
	m.tokenExpiry = m.gauge("vault_token_expiry_timestamp_seconds", "When the Vault token expires, as last heard; 0 if there is none or it never does.", "method")
	m.mailuRequests = m.histogram("mailu_request_duration_seconds", "Time that one HTTP request to a Mailu server took, each try by itself.",
		[]float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30}, "origin", "method")
	m.mailuErrors = m.counter("mailu_request_errors_total", "HTTP requests to a Mailu server that brought no answer, or an error.", "origin", "class")
	reloaded := m.gauge("config_last_reload_successful", "Whether the last reload of the configuration was accepted: 1, or 0 while the old one stays.")
	m.reloaded = reloaded.WithLabelValues()
	m.reloaded.Set(1)
	for _, operation := range operations {
		m.vaultRequests.WithLabelValues(operation)
		for _, class := range classes() {
			m.vaultErrors.WithLabelValues(operation, class)
		}
	}
}

// Renew applies another configuration: it deletes series of servers that are no longer
// configured and creates those of new ones.
func (m *Metrics) Renew(scope Scope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	former := m.fleet.scope.Swap(&scope)
	for _, origin := range former.Origins {
		if !slices.Contains(scope.Origins, origin) {
			m.forget(origin)
		}
	}
	for _, origin := range scope.Origins {
		m.expect(origin)
	}
	if former.Method != scope.Method {
		m.tokenExpiry.Reset()
		m.tokenExpiry.WithLabelValues(scope.Method)
	}
}

// expect creates the series of a server.
func (m *Metrics) expect(origin rotator.Origin) {
	for _, outcome := range rotator.Outcomes() {
		if counted(outcome) {
			m.rotations.WithLabelValues(string(origin), string(outcome))
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodPatch} {
		m.mailuRequests.WithLabelValues(string(origin), method)
	}
	for _, class := range classes() {
		m.mailuErrors.WithLabelValues(string(origin), class)
	}
}

func (m *Metrics) forget(origin rotator.Origin) {
	of := prometheus.Labels{"origin": string(origin)}
	m.rotations.DeletePartialMatch(of)
	m.mailuRequests.DeletePartialMatch(of)
	m.mailuErrors.DeletePartialMatch(of)
}

// counted reports whether an outcome counts as a daemon's result, unlike those of dry
// runs, commands and skipped tenants.
func counted(o rotator.Outcome) bool {
	switch o {
	case rotator.Planned, rotator.Restored, rotator.Ignored, rotator.Invalid:
		return false
	}
	return true
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(vec)
	return vec
}

func (m *Metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(vec)
	return vec
}

func (m *Metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(vec)
	return vec
}
