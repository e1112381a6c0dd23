package page_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"mailu-rotator/internal/page"
	"mailu-rotator/internal/page/pagetest"
	"mailu-rotator/rotator/status"
)

// document is a page as a browser parses it.
type document struct {
	*html.Node
	t *testing.T
}

// ask sends one request and returns the response.
func ask(t *testing.T, config page.Config, method, target string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	page.New(config).ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

// open renders the page of a snapshot.
func open(t *testing.T, s status.Snapshot, target string) document {
	t.Helper()
	w := ask(t, pagetest.Config(s), http.MethodGet, target)
	if w.Code != http.StatusOK {
		t.Fatalf("%s answers %d: %s", target, w.Code, w.Body)
	}
	return parse(t, w.Body.String())
}

func parse(t *testing.T, text string) document {
	t.Helper()
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return document{Node: root, t: t}
}

// all returns the elements that match.
func (d document) all(match func(*html.Node) bool) []document {
	var found []document
	for n := range d.Descendants() {
		if n.Type == html.ElementNode && match(n) {
			found = append(found, document{Node: n, t: d.t})
		}
	}
	return found
}

// tag matches elements by name and classes: "td.c-state".
func tag(selector string) func(*html.Node) bool {
	parts := strings.Split(selector, ".")
	return func(n *html.Node) bool {
		classes := strings.Fields(attr(n, "class"))
		for _, want := range parts[1:] {
			if !slices.Contains(classes, want) {
				return false
			}
		}
		return parts[0] == "" || n.Data == parts[0]
	}
}

// id returns the element with this id.
func (d document) id(id string) document {
	d.t.Helper()
	return d.one(func(n *html.Node) bool { return attr(n, "id") == id }, id)
}

func (d document) one(match func(*html.Node) bool, name string) document {
	d.t.Helper()
	found := d.all(match)
	if len(found) != 1 {
		d.t.Fatalf("%d elements are %s, want 1", len(found), name)
	}
	return found[0]
}

// text returns the visible text, with white space folded.
func (d document) text() string {
	var b strings.Builder
	for n := range d.Descendants() {
		switch {
		case n.Type == html.TextNode && n.Parent.Data != "style":
			b.WriteString(n.Data)
		case n.Type == html.ElementNode && slices.Contains([]string{"p", "li", "td", "th", "tr", "dt", "dd", "div", "bdi", "title", "option", "time"}, n.Data):
			b.WriteByte(' ') // block elements start a new word
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func (d document) texts(match func(*html.Node) bool) []string {
	var all []string
	for _, found := range d.all(match) {
		all = append(all, found.text())
	}
	return all
}

// tenants returns the ids in the table, in order.
func (d document) tenants() []string { return d.id("tenants").texts(tag("bdi.id")) }

// headline returns the page's headline.
func (d document) headline() string { return d.one(tag("p.headline"), "the headline").text() }

// tile returns the number of a state in the overview.
func (d document) tile(state string) int {
	d.t.Helper()
	return d.number(d.one(tag("li.t-"+state), state).one(tag("b"), "its number").text())
}

func (d document) number(text string) int {
	d.t.Helper()
	n, err := strconv.Atoi(strings.ReplaceAll(text, ",", ""))
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
