package page

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"mailu-rotator/rotator"
)

// How many characters of a search are looked for. The longest origin that DNS
// allows has less than the latter.
const (
	maxText   = 100
	maxServer = 300
)

// Filters beside the standings.
const (
	stateFailed  = "failed"  // the last run that had to do with it failed
	stateProblem = "problem" // the last verification found one
)

// sorts are what the table can be sorted by; a minus before one turns it round.
var sorts = []string{"urgency", "tenant", "user", "server", "state", "age", "policy", "left", "outcome", "verified"}

// query is what the reader asked for. Anything that the page does not know is
// taken for the default, so that an old bookmark still opens.
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
		text:    cut(strings.TrimSpace(values.Get("q")), maxText),
		server:  cut(strings.TrimSpace(values.Get("server")), maxServer),
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

// states are what the table can be filtered by.
func states() []string {
	var all []string
	for _, s := range rotator.Standings() {
		all = append(all, string(s))
	}
	return append(all, stateFailed, stateProblem)
}

// overview reports whether nothing in particular is asked for. Only then the
// page may reload itself: a reader of the table is left in peace.
func (q query) overview() bool { return q == query{sort: sorts[0], page: 1, refresh: q.refresh} }

// link is the address of the table for q.
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

// sortedBy asks for the first page of another order; of the same one, reversed.
func (q query) sortedBy(key string) query {
	q.page = 1
	if q.sort == key {
		key = "-" + key
	}
	q.sort = key
	return q
}

// inState is a new search, for the links of the overview.
func inState(state string) query { return query{state: state, sort: sorts[0], page: 1} }

func onServer(origin rotator.Origin) query {
	return query{server: cut(string(origin), maxServer), sort: sorts[0], page: 1}
}
