package monitor

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

const token = "0f3c9a-token-of-the-test"

// running is a server that listens, with what it reported.
type running struct {
	*Server
	t         *testing.T
	metrics   *watched
	listening chan net.Addr
	failing   chan error
	stop      func() // ends it, and waits
}

func serve(t *testing.T, l Listen) *running {
	t.Helper()
	m := watch(t)
	r := &running{t: t, metrics: m, listening: make(chan net.Addr, 10), failing: make(chan error, 100)}
	r.Server = NewServer(Options{
		Metrics: m.Metrics, Health: NewHealth(m.clock), Cache: m.cache,
		Listening: func(a net.Addr) { r.listening <- a },
		Failing:   func(err error, _ time.Duration) { r.failing <- err },
		ErrorLog:  func(err error) { t.Errorf("complaint: %v", err) },
	}, l)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); r.Run(ctx) }()
	r.stop = func() { cancel(); <-ended }
	t.Cleanup(r.stop)
	return r
}

func loopback() Listen { return Listen{Network: "tcp", Address: "127.0.0.1:0"} }

func withToken() Listen {
	l := loopback()
	l.Token = crypto.SecretFromString(token)
	return l
}

// get asks over a connection of its own.
func (r *running) get(address net.Addr, path string, edits ...func(*http.Request)) (status int, body string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, edit := range edits {
		edit(req)
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, address.Network(), address.String())
		},
	}}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

func basic(password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth("anybody", password) }
}

func host(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }

func TestMetricsAreServed(t *testing.T) {
	r := serve(t, loopback())

	status, body := r.get(<-r.listening, "/metrics")

	if status != 200 || !strings.Contains(body, "# TYPE mailu_rotator_rotations_total counter") || !strings.Contains(body, "go_goroutines") {
		t.Errorf("status %d:\n%s", status, body)
	}
}

func TestProbesSayInOneLineWhatIsMissing(t *testing.T) {
	r := serve(t, withToken()) // probes need no token
	address := <-r.listening

	if status, body := r.get(address, "/healthz"); status != 200 || body != "ok\n" {
		t.Errorf("healthz: status %d, %q", status, body)
	}
	if status, body := r.get(address, "/readyz"); status != 503 || body != "the records have not been read yet\n" {
		t.Errorf("readyz before the scan: status %d, %q", status, body)
	}
	r.Health.Observe(rotator.Event{Name: rotator.SweepStarted})
	r.Health.Observe(rotator.Event{Name: rotator.SweepPlanned})
	if status, body := r.get(address, "/readyz"); status != 200 || body != "ok\n" {
		t.Errorf("readyz: status %d, %q", status, body)
	}
	r.metrics.clock.Advance(3 * time.Hour) // the sweep has not ended
	if status, body := r.get(address, "/healthz"); status != 503 || strings.Count(body, "\n") != 1 {
		t.Errorf("healthz of a stalled daemon: status %d, %q", status, body)
	}
}

func TestWhoMaySee(t *testing.T) {
	open, closed := serve(t, loopback()), serve(t, withToken())
	openAt, closedAt := <-open.listening, <-closed.listening

	tests := []struct {
		name   string
		server *running
		at     net.Addr
		as     func(*http.Request)
		want   int
	}{
		{"on this host", open, openAt, host("localhost:9180"), 200},
		{"by an address of this host", open, openAt, host("127.0.0.1:9180"), 200},
		{"by an IPv6 address of this host", open, openAt, host("[::1]"), 200},
		{"a page whose name was bent to here", open, openAt, host("evil.example.com"), 421},
		{"the token", closed, closedAt, bearer(token), 200},
		{"the token, by any name", closed, closedAt, func(r *http.Request) { bearer(token)(r); host("ops.example.com")(r) }, 200},
		{"the token as a password", closed, closedAt, basic(token), 200},
		{"no token", closed, closedAt, host("localhost"), 401},
		{"an empty one", closed, closedAt, bearer(""), 401},
		{"a wrong one", closed, closedAt, bearer(token + "x"), 401},
		{"the beginning of it", closed, closedAt, bearer(token[:10]), 401},
		{"a wrong password", closed, closedAt, basic("guess"), 401},
		{"the token as a user", closed, closedAt, func(r *http.Request) { r.SetBasicAuth(token, "") }, 401},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, path := range []string{"/metrics", "/"} {
				if status, body := test.server.get(test.at, path, test.as); status != test.want {
					t.Errorf("%s: status %d, want %d: %s", path, status, test.want, body)
				}
			}
		})
	}
}

func TestProfilesOnlyWhereConfigured(t *testing.T) {
	r := serve(t, loopback())
	address := <-r.listening
	if status, _ := r.get(address, "/debug/pprof/"); status != 404 {
		t.Errorf("status %d without listen.pprof", status)
	}

	l := loopback()
	l.PProf = true
	r.Reload(l)

	if status, body := r.get(address, "/debug/pprof/goroutine?debug=1"); status != 200 || !strings.Contains(body, "goroutine profile") {
		t.Errorf("status %d with it: %s", status, body)
	}
}

func TestOnlyReadingIsAllowed(t *testing.T) {
	r := serve(t, loopback())
	address := <-r.listening

	for _, path := range []string{"/metrics", "/healthz", "/"} {
		status, _ := r.get(address, path, func(req *http.Request) { req.Method = http.MethodPost })
		if status != 404 && status != 405 {
			t.Errorf("POST %s: status %d", path, status)
		}
	}
}

func TestASocketIsForItsUserAndGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "http.sock")
	r := serve(t, Listen{Network: "unix", Address: path})

	status, _ := r.get(<-r.listening, "/metrics", host("anything"))

	info, err := os.Stat(path)
	if err != nil || status != 200 || info.Mode().Perm() != 0o660 {
		t.Errorf("status %d, mode %s, %v", status, info.Mode(), err)
	}
	r.stop()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket was left behind: %v", err)
	}
}

func TestASocketLeftBehindIsReplacedAndALiveOneIsNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "http.sock")
	killed, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	killed.SetUnlinkOnClose(false)
	killed.Close()

	first := serve(t, Listen{Network: "unix", Address: path})
	address := <-first.listening
	second := serve(t, Listen{Network: "unix", Address: path})

	if err := <-second.failing; !strings.Contains(err.Error(), "address already in use") {
		t.Error(err)
	}
	if status, _ := first.get(address, "/healthz"); status != 200 {
		t.Errorf("the first one was disturbed: status %d", status)
	}
}

func TestAFileIsNeverTakenForASocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := serve(t, Listen{Network: "unix", Address: path})

	<-r.failing

	if content, err := os.ReadFile(path); err != nil || string(content) != "data" {
		t.Errorf("%q, %v", content, err)
	}
}

func TestAPortThatIsTakenIsTriedAgain(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := serve(t, Listen{Network: "tcp", Address: taken.Addr().String()})
	if err := <-r.failing; !strings.Contains(err.Error(), "another program has it") || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Error(err)
	}

	taken.Close()

	if status, _ := r.get(<-r.listening, "/healthz"); status != 200 {
		t.Errorf("status %d", status)
	}
}

func TestReloadMovesTheListener(t *testing.T) {
	r := serve(t, Listen{}) // off
	r.Reload(loopback())
	first := <-r.listening
	path := filepath.Join(t.TempDir(), "http.sock")

	r.Reload(Listen{Network: "unix", Address: path})

	if status, _ := r.get(<-r.listening, "/healthz"); status != 200 {
		t.Errorf("status %d", status)
	}
	if conn, err := net.Dial("tcp", first.String()); err == nil {
		conn.Close()
		t.Error("the former port is still open")
	}
}

func TestReloadChangesTheTokenWithoutMoving(t *testing.T) {
	r := serve(t, withToken())
	address := <-r.listening
	other := loopback()
	other.Token = crypto.SecretFromString("another token")

	r.Reload(other)

	if status, _ := r.get(address, "/metrics", bearer(token)); status != 401 {
		t.Errorf("the former token: status %d", status)
	}
	if status, _ := r.get(address, "/metrics", bearer("another token")); status != 200 {
		t.Errorf("the new token: status %d", status)
	}
}

func TestThePageIsBehindTheTokenToo(t *testing.T) {
	m := watch(t)
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the fleet") })
	r := &running{t: t, listening: make(chan net.Addr, 1)}
	r.Server = NewServer(Options{
		Metrics: m.Metrics, Health: NewHealth(m.clock), Cache: m.cache, Page: page,
		Listening: func(a net.Addr) { r.listening <- a },
	}, withToken())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	address := <-r.listening

	if status, body := r.get(address, "/", bearer(token)); status != 200 || body != "the fleet" {
		t.Errorf("status %d: %s", status, body)
	}
	if status, _ := r.get(address, "/style.css"); status != 401 {
		t.Errorf("without a token: status %d", status)
	}
}
