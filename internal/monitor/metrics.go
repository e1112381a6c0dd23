package monitor

import (
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"

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

	rotations, runs, vaultErrors, mailuErrors                             *prometheus.CounterVec
	steps, vaultRequests, mailuRequests                                   *prometheus.HistogramVec
	runDuration, runFailures, lastRun, lastSuccess, tokenExpiry, reloaded *prometheus.GaugeVec

	mu      sync.Mutex                       // guards the fields below, and orders calls of Renew
	started time.Time                        // of the current run; the daemon has one at a time
	latency map[rotator.Origin]time.Duration // moving averages
}

// Scope is the part of the configuration that concerns the metrics. A reload replaces
// it whole.
type Scope struct {
	Timetable   rotator.Timetable // tells due tenants from overdue ones
	Origins     []rotator.Origin  // of the configured servers
	Method      string            // of the login to Vault
	TenantLabel bool              // adds series of each tenant
	OnlyWorker  bool              // of its own runs the process has only verifications, thus no series of others; a reload does not change it
}

// NewMetrics returns metrics of the fleet on the cache. version is the program's;
// operations lists all values that [Metrics.VaultRequest] will receive.
func NewMetrics(clock rotator.Clock, cache *status.Cache, version string, operations []string, scope Scope) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), clock: clock, fleet: newFleetCollector(cache), latency: map[rotator.Origin]time.Duration{}}
	m.makeRunMetrics(tasks(scope.OnlyWorker))
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

func (m *Metrics) makeRunMetrics(tasks []string) {
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
	for _, task := range tasks {
		for _, result := range []string{runOK, runFailures, runIncomplete, runInterrupted, runRefused} {
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
	m.reloaded = m.gauge("config_last_reload_successful", "Whether the last reload of the configuration was accepted: 1, or 0 while the old one stays.")
	m.Reloaded(true)
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
	return promauto.With(m.registry).NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func (m *Metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return promauto.With(m.registry).NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func (m *Metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return promauto.With(m.registry).NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
}

// The values of the label result.
const (
	runOK          = "ok"          // completed without failures
	runFailures    = "failures"    // completed, and some tenants need attention
	runIncomplete  = "incomplete"  // completed without failures, but the window closed before every tenant was begun
	runInterrupted = "interrupted" // the daemon was stopped before the end
	runRefused     = "refused"     // could not start
)

// tasks are the values of the label task. A last success of 0, of a task that a process
// does not have, would be an alert.
func tasks(onlyWorker bool) []string {
	if onlyWorker {
		return []string{string(rotator.TaskVerification)}
	}
	return []string{string(rotator.TaskSweep), string(rotator.TaskRecovery), string(rotator.TaskVerification)}
}

// Observe is a [rotator.Observer].
func (m *Metrics) Observe(e rotator.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	task, now := string(e.Name.Task()), m.clock.Now()
	switch e.Name {
	case rotator.SweepStarted, rotator.RecoveryStarted, rotator.VerificationStarted:
		m.started = now
	case rotator.SweepFinished, rotator.RecoveryFinished, rotator.VerificationFinished:
		result := runOK
		switch {
		case e.Count > 0:
			result = runFailures
		case e.Deferred > 0:
			result = runIncomplete
		}
		m.ended(task, result, now)
		m.runFailures.WithLabelValues(task).Set(float64(e.Count))
		m.runDuration.WithLabelValues(task).Set(now.Sub(m.started).Seconds())
		m.lastSuccess.WithLabelValues(task).Set(seconds(now))
	case rotator.SweepInterrupted, rotator.RecoveryInterrupted, rotator.VerificationInterrupted:
		m.ended(task, runInterrupted, now)
	case rotator.SweepRefused, rotator.RecoveryRefused, rotator.VerificationRefused:
		m.ended(task, runRefused, now)
	case rotator.TenantDone:
		m.rotations.WithLabelValues(string(e.Origin), string(e.Outcome)).Inc()
	}
}

func (m *Metrics) ended(task, result string, now time.Time) {
	m.runs.WithLabelValues(task, result).Inc()
	m.lastRun.WithLabelValues(task).Set(seconds(now))
}

// Step records how long a step of a rotation took.
func (m *Metrics) Step(step rotator.Step, took time.Duration) {
	m.steps.WithLabelValues(string(step)).Observe(took.Seconds())
}

// VaultRequest records one HTTP request to Vault; status is 0 if no answer came.
func (m *Metrics) VaultRequest(operation string, status int, took time.Duration) {
	m.vaultRequests.WithLabelValues(operation).Observe(took.Seconds())
	if class := classOf(status); class != "" {
		m.vaultErrors.WithLabelValues(operation, class).Inc()
	}
}

// VaultToken records when the method's token expires; zero if it never expires or there
// is no token.
func (m *Metrics) VaultToken(method string, expires time.Time) {
	m.tokenExpiry.WithLabelValues(method).Set(seconds(expires))
}

// MailuRequest records one HTTP request to a Mailu server; status is 0 if no answer
// came.
func (m *Metrics) MailuRequest(origin rotator.Origin, method string, status int, took time.Duration) {
	m.mailuRequests.WithLabelValues(string(origin), method).Observe(took.Seconds())
	if class := classOf(status); class != "" {
		m.mailuErrors.WithLabelValues(string(origin), class).Inc()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if former, known := m.latency[origin]; known {
		took = former + (took-former)/5 // so that about the last ten determine the average
	}
	m.latency[origin] = took
}

// Latency returns the average duration of recent requests to the server, including
// those without an answer; false if none was sent yet.
func (m *Metrics) Latency(origin rotator.Origin) (time.Duration, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	average, known := m.latency[origin]
	return average, known
}

// Reloaded records whether a reload of the configuration was accepted.
func (m *Metrics) Reloaded(accepted bool) { m.reloaded.WithLabelValues().Set(flag(accepted)) }

// The values of the label class.
const (
	classNoAnswer    = "no_answer"    // refused, reset, timed out, or given up
	classDenied      = "denied"       // 401, 403: wrong token, or not allowed
	classRateLimited = "rate_limited" // 429
	classServerError = "server_error" // 5xx: sealed, overloaded, broken
	classRejected    = "rejected"     // any other status from 300 on: unknown, conflict, redirect
)

func classes() []string {
	return []string{classNoAnswer, classDenied, classRateLimited, classServerError, classRejected}
}

// classOf returns "" for a success.
func classOf(status int) string {
	switch {
	case status == 0:
		return classNoAnswer
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return classDenied
	case status == http.StatusTooManyRequests:
		return classRateLimited
	case status >= 500:
		return classServerError
	case status >= 300:
		return classRejected
	}
	return ""
}

// seconds converts a time to Unix seconds, as Prometheus expects; the zero time is 0.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
