package monitor

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
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
		ErrorLog:            scrapeLog(complain),
		MaxRequestsInFlight: 4, // each reads all tenants
		Timeout:             20 * time.Second,
	})
}

// scrapeLog is what promhttp logs to.
type scrapeLog func(error)

// Println implements promhttp.Logger.
func (l scrapeLog) Println(v ...any) {
	l(fmt.Errorf("scrape: %s", strings.TrimSpace(fmt.Sprintln(v...))))
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

// guard requires the token if there is one, or a proof of it ([Prover]). Without a
// token, anyone who can connect may read, except a web page in a browser on this host
// whose server points its own name at this address (DNS rebinding).
func guard(network string, token []byte, next http.Handler) http.Handler {
	known := &proofs{key: token, seen: map[string]time.Time{}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case token != nil && !shows(r, token) && !known.accept(w, r):
			w.Header().Add("WWW-Authenticate", `Bearer realm="mailu-rotator"`)
			w.Header().Add("WWW-Authenticate", `Basic realm="mailu-rotator", charset="UTF-8"`)
			http.Error(w, "the token of listen.token_file is needed, as Bearer token or as password", http.StatusUnauthorized)
		case token == nil && network == "tcp" && !isLoopback(r.Host):
			http.Error(w, "without listen.token_file only loopback names are answered, such as localhost or 127.0.0.1", http.StatusMisdirectedRequest)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// shows compares digests in constant time, which reveals nothing about the token, not
// even its length. Prometheus sends a Bearer token; browsers can only send a user and a
// password, and any user is accepted.
func shows(r *http.Request, token []byte) bool {
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		_, given, _ = r.BasicAuth()
	}
	digest := sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(digest[:], token) == 1
}

func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// plainHeaders forbids caching and content sniffing.
func plainHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}
