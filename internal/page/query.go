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

// Filters in addition to the states.
const (
	stateFailed  = "failed"  // the tenant's last run failed
	stateProblem = "problem" // the last verification found one
)

// byUrgency is the default order of the table.
const byUrgency = "urgency"

// query is the parsed query string, and what the search form shows. Unknown values
// become the default, so that old bookmarks still open.
type query struct {
	Text    string
	State   string // a state, failed or problem; empty: all
	Server  string
	Sort    string // a leading minus reverses the order
	page    int    // from 1
	refresh bool
}

func parseQuery(values url.Values) query {
	q := query{
		Text:    text.Cut(strings.TrimSpace(values.Get("q")), maxText),
		Server:  text.Cut(strings.TrimSpace(values.Get("server")), maxServer),
		Sort:    byUrgency,
		page:    1,
		refresh: values.Get("refresh") == "on",
	}
	if state := values.Get("state"); slices.Contains(q.States(), state) {
		q.State = state
	}
	if key := values.Get("sort"); slices.Contains(q.Sorts(), strings.TrimPrefix(key, "-")) {
		q.Sort = key
	}
	if n, err := strconv.Atoi(values.Get("page")); err == nil && n > 1 {
		q.page = n
	}
	return q
}

// Sorts are the keys that the table can be sorted by.
func (query) Sorts() []string {
	return []string{byUrgency, "tenant", "user", "server", "state", "age", "policy", "left", "outcome", "verified"}
}

// States are the values of the state filter.
func (query) States() []string {
	var all []string
	for _, s := range rotator.PolicyStates() {
		all = append(all, string(s))
	}
	return append(all, stateFailed, stateProblem)
}

// Active reports whether a filter narrows the table.
func (q query) Active() bool { return q.Text+q.State+q.Server != "" }

// overview reports whether all is at its default. Only then the page may reload itself,
// so that it does not disturb a reader of the table.
func (q query) overview() bool { return q == query{Sort: byUrgency, page: 1, refresh: q.refresh} }

// link returns the address of the table for q.
func (q query) link() string {
	values := url.Values{}
	for key, value := range map[string]string{"q": q.Text, "state": q.State, "server": q.Server} {
		if value != "" {
			values.Set(key, value)
		}
	}
	if q.Sort != "" && q.Sort != byUrgency {
		values.Set("sort", q.Sort)
	}
	if q.page > 1 {
		values.Set("page", strconv.Itoa(q.page))
	}
	return "?" + values.Encode() + "#tenants"
}

func (q query) linkToPage(n int) string {
	q.page = n
	return q.link()
}

// linkSortedBy leads to the first page in another order; for the current key, in
// reverse.
func (q query) linkSortedBy(key string) string {
	if q.Sort == key {
		key = "-" + key
	}
	q.Sort, q.page = key, 1
	return q.link()
}

// inState is the address of a new search by state.
func inState[T ~string](state T) string { return query{State: string(state)}.link() }

func onServer(origin rotator.Origin) string {
	return query{Server: text.Cut(string(origin), maxServer)}.link()
}
