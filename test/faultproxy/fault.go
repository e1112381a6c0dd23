package faultproxy

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"time"
)

// Kind is a way for a request to go wrong.
type Kind int

// The kinds. "Reset" is a TCP reset, which a client sees as an error without an answer.
// Go's transport repeats a GET once by itself when a reused connection is reset: use
// Times > 1, or no limit, if the client must see the error.
const (
	// Status answers with Fault.Status; the server never sees the request.
	Status Kind = iota + 1
	// ResetBefore resets the connection; the server never sees the request.
	ResetBefore
	// ResetAfter forwards the request, waits for the server's answer, so that
	// its effect has happened, and resets the connection instead of answering.
	ResetAfter
	// StatusAfter forwards the request and answers with Fault.Status instead.
	StatusAfter
	// Delay waits for Fault.Delay, then forwards as usual.
	Delay
	// Hang never answers; it ends when the client gives up or the proxy closes.
	Hang
	// LateEffect resets the connection at once, but the server still receives the
	// request after Fault.Delay, as if it had waited in a queue. Proxy.Settle waits for
	// it.
	LateEffect
)

// Fault describes what goes wrong with which requests.
type Fault struct {
	// Match selects the requests; nil selects all. It may read the body. It must not
	// call the Proxy.
	Match func(*http.Request) bool
	Kind  Kind
	// Delay is the wait before the effect, unless the client gives up; see LateEffect.
	Delay time.Duration
	// Status, Header and Body are the answer of the kinds Status and StatusAfter;
	// a Status of 0 means 503.
	Status int
	Header http.Header
	Body   string
	// Times is how many requests meet the fault; 0 means all until Clear.
	Times int
	// Then is called when the fault strikes: after the request's effect for kinds that
	// apply it first, and always before the client sees the result.
	Then func()
}

// On matches requests by method and path; an empty string stands for any.
func On(method, path string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return (method == "" || r.Method == method) && (path == "" || r.URL.EscapedPath() == path)
	}
}

func (f *Fault) apply(w http.ResponseWriter, r *http.Request, forward http.Handler) {
	if f.Kind == LateEffect {
		f.strike()
		reset(w)
		return // the proxy forwards it late
	}
	select {
	case <-r.Context().Done():
		reset(w)
		return
	case <-time.After(f.Delay):
	}
	if f.Kind == ResetAfter || f.Kind == StatusAfter {
		forward.ServeHTTP(&discard{header: http.Header{}}, r)
	}
	f.strike()
	switch f.Kind {
	case Status, StatusAfter:
		f.answer(w)
	case ResetBefore, ResetAfter:
		reset(w)
	case Delay:
		forward.ServeHTTP(w, r)
	case Hang:
		<-r.Context().Done()
		reset(w) // a handler that just returns would answer 200
	default:
		http.Error(w, fmt.Sprintf("faultproxy: fault of unknown kind %d: set Kind", f.Kind), http.StatusNotImplemented)
	}
}

func (f *Fault) strike() {
	if f.Then != nil {
		f.Then()
	}
}

func (f *Fault) answer(w http.ResponseWriter) {
	maps.Copy(w.Header(), f.Header)
	w.WriteHeader(cmp.Or(f.Status, http.StatusServiceUnavailable))
	_, _ = io.WriteString(w, f.Body) // error: the client has gone
}

// reset drops the connection with a TCP reset: a client that waits for an answer could
// take a plain close for an orderly end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // a discarded answer has no connection
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}

// discard swallows an answer that the client must not see.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}
