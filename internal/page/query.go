package page

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"mailu-rotator/internal/text"
	"mailu-rotator/rotator"
)

// Limits of search terms, in characters. The longest origin that DNS allows is shorter
// than maxServer.
const (
	maxText   = 100
	maxServer = 300
)

// Filters in addition to the standings.
const (
	stateFailed  = "failed"  // the tenant's last run failed
	stateProblem = "problem" // the last verification found one
)

// sorts are the keys that the table can be sorted by; a leading minus reverses the
// order.
var sorts = []string{"urgency", "tenant", "user", "server", "state", "age", "policy", "left", "outcome", "verified"}

// query is the parsed query string. Unknown values become the default, so that old
// bookmarks still open.
type query struct {
	text    string
	state   string // a standing, failed or problem; empty: all
	server  string
	sort    string
	page    int // from 1
	refresh bool
}

func parseQuery(values url.Values) query {
	q := query{
		text:    text.Cut(strings.TrimSpace(values.Get("q")), maxText),
		server:  text.Cut(strings.TrimSpace(values.Get("server")), maxServer),
		sort:    sorts[0],
		page:    1,
		refresh: values.Get("refresh") == "on",
	}
	if state := values.Get("state"); slices.Contains(states(), state) {
		q.state = state
	}
	if key := values.Get("sort"); slices.Contains(sorts, strings.TrimPrefix(key, "-")) {
		q.sort = key
	}
	if n, err := strconv.Atoi(values.Get("page")); err == nil && n > 1 {
		q.page = n
	}
	return q
}

// states are the values of the state filter.
func states() []string {
	var all []string
	for _, s := range rotator.Standings() {
		all = append(all, string(s))
	}
	return append(all, stateFailed, stateProblem)
}

// overview reports whether the query has no filter. Only then the page may reload
// itself, so that it does not disturb a reader of the table.
func (q query) overview() bool { return q == query{sort: sorts[0], page: 1, refresh: q.refresh} }

// link returns the address of the table for q.
func (q query) link() string {
	values := url.Values{}
	for key, value := range map[string]string{"q": q.text, "state": q.state, "server": q.server} {
		if value != "" {
			values.Set(key, value)
		}
	}
	if q.sort != sorts[0] {
		values.Set("sort", q.sort)
	}
	if q.page > 1 {
		values.Set("page", strconv.Itoa(q.page))
	}
	return "?" + values.Encode() + "#tenants"
}

func (q query) atPage(n int) query {
	q.page = n
	return q
}

// sortedBy returns the first page in another order; for the current key, in reverse.
func (q query) sortedBy(key string) query {
	q.page = 1
	if q.sort == key {
		key = "-" + key
	}
	q.sort = key
	return q
}

// inState is a new search by state, for the links of the overview.
func inState(state string) query { return query{state: state, sort: sorts[0], page: 1} }

// expiring searches for the text of [row.expiry] about records that are lost too early.
func expiring() query { return query{text: "deletes itself", sort: sorts[0], page: 1} }

func onServer(origin rotator.Origin) query {
	return query{server: text.Cut(string(origin), maxServer), sort: sorts[0], page: 1}
}
