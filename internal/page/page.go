// Package page shows operators how the fleet stands: one HTML page, made on the
// server from a [rotator.Snapshot], that reads well at ten thousand tenants.
//
// It promises to change nothing (GET and HEAD only), to ask nobody but the
// functions of its [Config], and to send a browser nothing that it would have to
// run or fetch: no script, no outside asset, one inline style sheet that the
// Content-Security-Policy names by its hash. What comes from Vault's records is
// escaped, shortened, and made visible where it would steer the reader's eye.
// A snapshot holds no secret, so the page has none to show.
//
// Who may see it is the business of the server that mounts it. All times are in
// UTC. It imports rotator and the standard library, nothing else.
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
)

//go:embed *.html
var templates embed.FS

//go:embed style.css
var style string

// maxQuery is how many bytes of parameters are read at all.
const maxQuery = 2048

// Config is what a page is made from. Its functions are called at each request
// and must be safe for concurrent use.
type Config struct {
	Snapshot func() rotator.Snapshot
	Settings func() Settings
	Version  string // of the program
	// Latency is how long the requests to a server took of late; false if that is
	// not known. Nil: the page says nothing of it.
	Latency func(rotator.Origin) (time.Duration, bool)
}

// Settings is what of the configuration the page needs. A reload may change it.
type Settings struct {
	Timetable     rotator.Timetable // says when what is due is overdue
	DefaultPolicy rotator.Policy
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
		page:   template.Must(template.New("").Funcs(template.FuncMap{"number": number, "count": count}).ParseFS(templates, "*.html")),
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'; img-src data:; " +
			"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	}
}

// ServeHTTP answers 404 to other paths, 405 to other methods, and 414 to more
// parameters than the page has.
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

// show makes the page as a whole before it sends any of it.
func (h *handler) show(w http.ResponseWriter, q query) {
	var body bytes.Buffer
	if err := h.page.ExecuteTemplate(&body, "page.html", h.view(q)); err != nil {
		http.Error(w, "make the status page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	_, _ = body.WriteTo(w) // a reader who has left needs no answer
}

// harden keeps the answer out of caches, frames and other sites' hands.
func (h *handler) harden(header http.Header) {
	header.Set("Content-Security-Policy", h.policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Embedder-Policy", "require-corp")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
}
