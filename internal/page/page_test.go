package page_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"mailu-rotator/internal/page/pagetest"
)

func TestOnlyReadsOfTheOnePageAreAnswered(t *testing.T) {
	tests := []struct {
		method, target string
		want           int
	}{
		{http.MethodGet, "/", http.StatusOK},
		{http.MethodHead, "/", http.StatusOK},
		{http.MethodGet, "/?", http.StatusOK},
		{http.MethodGet, "/?nonsense=%zz;;&page=-1", http.StatusOK},
		{http.MethodPost, "/", http.StatusMethodNotAllowed},
		{http.MethodPut, "/", http.StatusMethodNotAllowed},
		{http.MethodDelete, "/?q=x", http.StatusMethodNotAllowed},
		{http.MethodOptions, "/", http.StatusMethodNotAllowed},
		{"PROPFIND", "/", http.StatusMethodNotAllowed},
		{http.MethodGet, "/favicon.ico", http.StatusNotFound},
		{http.MethodGet, "/index.html", http.StatusNotFound},
		{http.MethodPost, "/x", http.StatusNotFound},
		{http.MethodGet, "/?q=" + strings.Repeat("x", 5000), http.StatusRequestURITooLong},
	}
	for _, test := range tests {
		t.Run(test.method+" "+test.target[:min(len(test.target), 40)], func(t *testing.T) {
			w := ask(t, pagetest.Config(pagetest.Healthy(12)), test.method, test.target)

			if w.Code != test.want {
				t.Errorf("got %d, want %d", w.Code, test.want)
			}
			if w.Code == http.StatusMethodNotAllowed && w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("allowed are %q", w.Header().Get("Allow"))
			}
			if w.Header().Get("Content-Security-Policy") == "" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("the answer is not hardened: %v", w.Header())
			}
		})
	}
}

func TestAnswersAreKeptOutOfCachesAndOtherSites(t *testing.T) {
	header := ask(t, pagetest.Config(pagetest.Healthy(12)), http.MethodGet, "/").Header()

	for name, want := range map[string]string{
		"Cache-Control":                "no-store",
		"Referrer-Policy":              "no-referrer",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Embedder-Policy": "require-corp",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Content-Type":                 "text/html; charset=utf-8",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestThePolicyAllowsWhatThePageUsesAndNoMore(t *testing.T) {
	w := ask(t, pagetest.Config(pagetest.Mixed(300)), http.MethodGet, "/?q=a")
	d := parse(t, w.Body.String())
	directives := map[string]string{}
	for _, directive := range strings.Split(w.Header().Get("Content-Security-Policy"), "; ") {
		name, value, _ := strings.Cut(directive, " ")
		directives[name] = value
	}

	var hashes []string
	for _, style := range d.all(tag("style")) {
		sum := sha256.Sum256([]byte(style.FirstChild.Data))
		hashes = append(hashes, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
	want := map[string]string{
		"default-src": "'none'", "style-src": strings.Join(hashes, " "), "img-src": "data:",
		"form-action": "'self'", "base-uri": "'none'", "frame-ancestors": "'none'",
	}
	if fmt.Sprint(directives) != fmt.Sprint(want) {
		t.Errorf("the policy is\n%v, the page needs\n%v", directives, want)
	}
}

// The page must work without access to other hosts, and leak nothing.
func TestThePageFetchesAndRunsNothing(t *testing.T) {
	d := open(t, pagetest.Mixed(300), "/")

	for _, n := range d.all(func(*html.Node) bool { return true }) {
		switch n.Data {
		case "script", "iframe", "object", "embed", "img", "video", "audio", "base", "source":
			t.Errorf("there is a <%s>", n.Data)
		}
		for _, a := range n.Attr {
			switch {
			case strings.HasPrefix(a.Key, "on"), a.Key == "style", a.Key == "src":
				t.Errorf("<%s> has %s=%q", n.Data, a.Key, a.Val)
			case a.Key == "href" || a.Key == "action":
				icon := n.Data == "link" && strings.HasPrefix(a.Val, "data:image/svg+xml,")
				here := a.Val == "" || strings.HasPrefix(a.Val, "?") || strings.HasPrefix(a.Val, "#") || strings.HasPrefix(a.Val, "./")
				if !icon && !here {
					t.Errorf("<%s> leads to %q", n.Data, a.Val)
				}
			}
		}
	}
	for _, style := range d.all(tag("style")) {
		if text := style.FirstChild.Data; strings.Contains(text, "url(") || strings.Contains(text, "@import") {
			t.Error("the style sheet fetches something")
		}
	}
}

func TestAHeadIsToldTheLengthOfThePage(t *testing.T) {
	config := pagetest.Config(pagetest.Healthy(12))

	head, get := ask(t, config, http.MethodHead, "/"), ask(t, config, http.MethodGet, "/")

	if length := head.Header().Get("Content-Length"); length != strconv.Itoa(get.Body.Len()) {
		t.Errorf("told %s of %d bytes", length, get.Body.Len())
	}
}

func TestOnlyTheOverviewReloadsItselfAndOnlyIfAsked(t *testing.T) {
	for target, want := range map[string]int{"/": 0, "/?refresh=on": 1, "/?refresh=on&q=a": 0, "/?refresh=on&page=2": 0, "/?refresh=1": 0} {
		d := open(t, pagetest.Healthy(12), target)

		if got := len(d.all(func(n *html.Node) bool { return attr(n, "http-equiv") == "refresh" })); got != want {
			t.Errorf("%s has %d refreshes, want %d", target, got, want)
		}
	}
}

func TestThePageIsBoundedHoweverLargeTheFleet(t *testing.T) {
	for _, tenants := range []int{300, 10_000} {
		w := ask(t, pagetest.Config(pagetest.Mixed(tenants)), http.MethodGet, "/")

		if w.Body.Len() > 256<<10 {
			t.Errorf("%d tenants make a page of %d bytes", tenants, w.Body.Len())
		}
	}
}

func TestThePageCanBeWalkedByStructure(t *testing.T) {
	d := open(t, pagetest.Mixed(300), "/")

	for _, landmark := range []string{"header", "main", "footer", "h1"} {
		d.one(tag(landmark), landmark)
	}
	for _, n := range d.all(tag("th")) {
		if attr(n.Node, "scope") == "" {
			t.Errorf("the heading %q has no scope", n.text())
		}
	}
	for _, n := range d.all(func(n *html.Node) bool { return n.Data == "input" || n.Data == "select" }) {
		if n.Parent.Data != "label" {
			t.Errorf("the field %s has no label", attr(n.Node, "name"))
		}
	}
	ids := map[string]bool{}
	for _, n := range d.all(func(n *html.Node) bool { return attr(n, "id") != "" }) {
		if id := attr(n.Node, "id"); ids[id] {
			t.Errorf("the id %s is there twice", id)
		} else {
			ids[id] = true
		}
	}
	for _, n := range d.all(func(*html.Node) bool { return true }) {
		for _, id := range strings.Fields(attr(n.Node, "aria-labelledby")) {
			if !ids[id] {
				t.Errorf("<%s> is labelled by %s, which is not there", n.Data, id)
			}
		}
		if target, local := strings.CutPrefix(attr(n.Node, "href"), "#"); local && !ids[target] {
			t.Errorf("a link leads to #%s, which is not there", target)
		}
	}
}
