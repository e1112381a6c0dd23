package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// meter judges how many requests are in flight at one Mailu server, over all processes.
// Only what a stopped process had begun may come on top: nothing can tell it before it
// goes on.
type meter struct {
	name  string
	limit int
	tally *tally

	mu       sync.Mutex // guards the fields below
	inFlight map[*flight]bool
	most     int
	findings []finding
}

// flight is a request.
type flight struct {
	by     *process
	tenant string
	method string
}

// think is how long a server takes for each request: without it few would ever meet.
const think = 15 * time.Millisecond

// front starts a server that passes the requests of one process on.
func (m *meter) front(by *process, target string, byUser map[string]string) (*http.Server, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("address of a Mailu server: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen before a Mailu server: %w", err)
	}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		// The client may send the next request as soon as it has the answer.
		ModifyResponse: func(r *http.Response) error {
			m.leave(r.Request.Context())
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := &http.Server{Addr: listener.Addr().String(), ReadHeaderTimeout: time.Minute}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := strings.TrimPrefix(r.URL.Path, "/api/v1/user/")
		ctx := m.arrive(r.Context(), &flight{by: by, tenant: byUser[strings.ToLower(user)], method: r.Method})
		defer m.leave(ctx)
		pause(ctx, think)
		forward.ServeHTTP(w, r.WithContext(ctx))
	})
	go func() { _ = server.Serve(listener) }() // ends with Close
	return server, nil
}

type flightKey struct{}

// arrive counts a request, which the context names from then on.
func (m *meter) arrive(ctx context.Context, f *flight) context.Context {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inFlight == nil {
		m.inFlight = map[*flight]bool{}
	}
	m.inFlight[f] = true
	var current []string
	for each := range m.inFlight {
		if !each.by.work.outlived(each.tenant) {
			current = append(current, fmt.Sprintf("%s of %s by %s", each.method, each.tenant, each.by.name))
		}
	}
	m.most = max(m.most, len(current))
	switch {
	case len(m.inFlight) <= m.limit:
	case len(current) <= m.limit:
		m.tally.add("in flight", outlivedPush)
	default:
		m.findings = append(m.findings, finding{tenant: f.tenant, at: time.Now(), what: fmt.Sprintf(
			"%d requests in flight at %s, and max_concurrent is %d: %s", len(current), m.name, m.limit, strings.Join(current, ", "))})
	}
	return context.WithValue(ctx, flightKey{}, f)
}

// outlivedPush counts what came on top.
const outlivedPush = "requests beyond max_concurrent, of what a stopped process had begun"

func (m *meter) leave(ctx context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, _ := ctx.Value(flightKey{}).(*flight)
	delete(m.inFlight, f)
}

// workLog is what one process works on.
type workLog struct {
	fronts []*http.Server

	mu     sync.Mutex      // guards the fields below
	begun  map[string]bool // tenants that it has sent a request for, and not reported; a planner reads all
	frozen map[string]bool // those when the process was stopped, with
	thawed time.Time       // when it went on
}

// thawFor is how long a process may take for what it had begun.
const thawFor = clusterClaimTTL + 2*time.Second

func (w *workLog) begins(tenant string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.begun == nil {
		w.begun = map[string]bool{}
	}
	w.begun[tenant] = true
}

func (w *workLog) ends(tenant string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.begun, tenant)
}

// starts: another life begins.
func (w *workLog) starts() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.begun)
	w.frozen = nil
}

// freeze notes what is under way as the process is stopped.
func (w *workLog) freeze() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frozen, w.thawed = maps.Clone(w.begun), time.Time{}
}

func (w *workLog) thaw() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.thawed = time.Now()
}

// outlived reports whether the process began with the tenant before it was stopped.
func (w *workLog) outlived(tenant string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.frozen[tenant] && (w.thawed.IsZero() || time.Since(w.thawed) < thawFor)
}
