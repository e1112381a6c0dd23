// Package page renders the status page: one HTML page, built on the server from a
// [status.Snapshot], that stays readable with ten thousand tenants.
//
// It changes nothing (GET and HEAD only), calls only the functions of its [Config], and
// sends a browser nothing to run or fetch: no script, no external asset, one inline
// style sheet that the Content-Security-Policy names by its hash. Text from Vault's
// records is escaped, shortened, and control characters in it are made visible. A
// snapshot holds no secret, so the page cannot show one.
//
// The server that mounts the page controls access to it. All times are in UTC. The
// package imports rotator and the standard library, nothing else.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

//go:embed *.html
var templates embed.FS

//go:embed style.css
var style string

// maxQuery limits the length of the query string, in bytes.
const maxQuery = 2048

// Config is the page's input. Its functions are called at each request and must be safe
// for concurrent use.
type Config struct {
	Snapshot func() status.Snapshot
	Settings func() Settings
	Version  string // of the program
	// Latency returns the recent duration of requests to a server, or false if it is
	// unknown.
	Latency func(rotator.Origin) (time.Duration, bool)
}

// Settings is the part of the configuration that the page needs. A reload may change
// it.
type Settings struct {
	Timetable     rotator.Timetable // decides when due becomes overdue
	Verifications rotator.Timetable // decides when one has been missed; without a schedule there are none
	DefaultPolicy rotator.Policy
	AddFirst      string                   // the command that adds the first tenant
	Command       func(args string) string // the command line of this program with these arguments
}

type handler struct {
	Config
	page   *template.Template
	policy string // the Content-Security-Policy
}

// New returns the page as the handler of the path "/".
func New(config Config) http.Handler {
	hash := sha256.Sum256([]byte(style))
	return &handler{
		Config: config,
		page: template.Must(template.New("").Funcs(template.FuncMap{
			"number": number, "count": count, "name": name[string], "origin": name[rotator.Origin], "reason": reason, "policy": policyText, "took": took, "share": share, "onServer": onServer,
		}).ParseFS(templates, "*.html")),
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'; img-src data:; " +
			"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	}
}

// ServeHTTP answers 404 for other paths, 405 for other methods, and 414 for a query
// longer than maxQuery.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.harden(w.Header())
	switch {
	case r.URL.Path != "/":
		http.Error(w, "there is one page, at /", http.StatusNotFound)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this page is read-only", http.StatusMethodNotAllowed)
	case len(r.URL.RawQuery) > maxQuery:
		http.Error(w, "more parameters than this page has", http.StatusRequestURITooLong)
	default:
		h.show(w, parseQuery(r.URL.Query()))
	}
}

// show renders the whole page before it sends any of it.
func (h *handler) show(w http.ResponseWriter, q query) {
	var body bytes.Buffer
	if err := h.page.ExecuteTemplate(&body, "page.html", h.view(q)); err != nil {
		http.Error(w, "make the status page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	_, _ = body.WriteTo(w) // error: the client has gone
}

// harden forbids caching, framing and use by other sites.
func (h *handler) harden(header http.Header) {
	header.Set("Content-Security-Policy", h.policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Embedder-Policy", "require-corp")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
}
