package monitor

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"mailu-rotator/rotator"
)

// routes builds the handler for these settings.
func (s *Server) routes(l Listen, token []byte) http.Handler {
	shown := http.NewServeMux()
	shown.Handle("GET /metrics", s.Metrics.handler(s.ErrorLog))
	shown.HandleFunc("GET "+OutcomesPath, s.outcomes)
	if l.PProf {
		shown.HandleFunc("GET /debug/pprof/", pprof.Index)
		shown.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		shown.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		shown.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		shown.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	if s.Page != nil {
		shown.Handle("GET /", s.Page)
	} else {
		shown.HandleFunc("GET /{$}", index)
	}

	all := http.NewServeMux()
	all.HandleFunc("GET /healthz", s.healthz)
	all.HandleFunc("GET /readyz", s.readyz)
	all.Handle("/", guard(l.Network, token, shown))
	return plainHeaders(all)
}

func (m *Metrics) handler(complain func(error)) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:            log.New(complaints(complain), "scrape: ", 0),
		MaxRequestsInFlight: 4, // each reads all tenants
		Timeout:             20 * time.Second,
	})
}

// healthz and readyz need no token: a kubelet cannot send one, and they name no tenant or
// server.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	if !s.Health.Live() {
		http.Error(w, "the daemon has something to do and gives no sign of life", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n") // error: the client has gone
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if missing := s.Health.Ready(); missing != "" {
		http.Error(w, missing, http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n") // error: the client has gone
}

func index(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, "mailu-rotator\n\n/metrics\n/outcomes\n/healthz\n/readyz\n") // error: the client has gone
}

// plainHeaders forbids caching and content sniffing.
func plainHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// OutcomesPath is where a daemon serves its last results per tenant.
const OutcomesPath = "/outcomes"

// Outcomes is the JSON document at that path.
type Outcomes struct {
	Tenants []TenantOutcome `json:"tenants"`          // that any run has processed, and those with a State
	Logins  []LoginOutcome  `json:"logins,omitempty"` // the last at each server
}

// LoginOutcome is the last real login at a server.
type LoginOutcome struct {
	Origin rotator.Origin     `json:"origin"`
	State  rotator.LoginState `json:"state"`
	User   string             `json:"user"`
	At     time.Time          `json:"at"`
	Reason string             `json:"reason,omitempty"`
}

// TenantOutcome is the result of the daemon's last run for a tenant. The record in
// Vault does not show a failure that left no trace.
type TenantOutcome struct {
	Tenant  string          `json:"tenant"`
	Outcome rotator.Outcome `json:"outcome,omitempty"`
	At      time.Time       `json:"at,omitzero"`
	Reason  string          `json:"reason,omitempty"`
	State   rotator.State   `json:"state,omitempty"` // of the last verification, if that is a problem
	Since   time.Time       `json:"since,omitzero"`  // of State
}

func (s *Server) outcomes(w http.ResponseWriter, _ *http.Request) {
	doc := Outcomes{Tenants: []TenantOutcome{}}
	for e := range s.Cache.Tenants() {
		t := TenantOutcome{Tenant: e.Tenant, Outcome: e.Outcome, At: e.At, Reason: e.Reason}
		if e.State.Problem() {
			t.State, t.Since = e.State, e.StateSince
		}
		if t.Outcome != "" || t.State != "" {
			doc.Tenants = append(doc.Tenants, t)
		}
	}
	for _, login := range s.Cache.Outline().Logins {
		doc.Logins = append(doc.Logins, LoginOutcome(login))
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(doc); err != nil {
		s.ErrorLog(fmt.Errorf("tell the outcomes: %w", err))
	}
}
