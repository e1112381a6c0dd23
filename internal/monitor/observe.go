package monitor

import (
	"net/http"
	"time"

	"mailu-rotator/rotator"
)

// The values of the label result.
const (
	runOK          = "ok"          // completed without failures
	runFailures    = "failures"    // completed, and some tenants need attention
	runInterrupted = "interrupted" // the daemon was stopped before the end
	runRefused     = "refused"     // could not start
)

// tasks are the values of the label task.
func tasks() []string {
	return []string{string(rotator.TaskSweep), string(rotator.TaskRecovery), string(rotator.TaskVerification)}
}

// Observe is a [rotator.Observer].
func (m *Metrics) Observe(e rotator.Event) {
	task := string(e.Name.Task())
	switch e.Name {
	case rotator.SweepStarted, rotator.RecoveryStarted, rotator.VerificationStarted:
		m.mu.Lock()
		defer m.mu.Unlock()
		m.started = m.clock.Now()
	case rotator.SweepFinished, rotator.RecoveryFinished, rotator.VerificationFinished:
		m.finished(task, e.Count)
	case rotator.SweepInterrupted, rotator.RecoveryInterrupted, rotator.VerificationInterrupted:
		m.runs.WithLabelValues(task, runInterrupted).Inc()
		m.lastRun.WithLabelValues(task).Set(seconds(m.clock.Now()))
	case rotator.SweepRefused, rotator.RecoveryRefused, rotator.VerificationRefused:
		m.runs.WithLabelValues(task, runRefused).Inc()
		m.lastRun.WithLabelValues(task).Set(seconds(m.clock.Now()))
	case rotator.TenantDone:
		m.rotations.WithLabelValues(string(e.Origin), string(e.Outcome)).Inc()
	}
}

func (m *Metrics) finished(task string, failures int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock.Now()
	result := runOK
	if failures > 0 {
		result = runFailures
	}
	m.runs.WithLabelValues(task, result).Inc()
	m.runFailures.WithLabelValues(task).Set(float64(failures))
	m.runDuration.WithLabelValues(task).Set(now.Sub(m.started).Seconds())
	m.lastRun.WithLabelValues(task).Set(seconds(now))
	m.lastSuccess.WithLabelValues(task).Set(seconds(now))
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
	m.latencies.note(origin, took)
	if class := classOf(status); class != "" {
		m.mailuErrors.WithLabelValues(string(origin), class).Inc()
	}
}

// Reloaded records whether a reload of the configuration was accepted.
func (m *Metrics) Reloaded(accepted bool) {
	if accepted {
		m.reloaded.Set(1)
		return
	}
	m.reloaded.Set(0)
}

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
