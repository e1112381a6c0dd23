package page

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

const (
	pageRows   = 100 // tenants on a page of the table
	maxServers = 50
	maxWorkers = 50
	maxRuns    = 10
)

// table is the selected part of the tenants.
type table struct {
	Rows    []*row
	Found   int
	From    int // of Found, from 1
	To      int
	Page    int
	Pages   int
	Columns []column
	First   string // links; empty: this page
	Prev    string
	Next    string
	Last    string
}

// column is a heading that sorts.
type column struct {
	Title string
	Class string
	Order string // for aria-sort; empty: not the sort key
	Link  string
}

func newTable(f fleet, q query) table {
	found := f.selected(q)
	sortRows(found, q.Sort)
	t := table{Found: len(found), Pages: max(1, (len(found)+pageRows-1)/pageRows), Columns: columns(q)}
	t.Page = min(q.page, t.Pages)
	from := (t.Page - 1) * pageRows
	t.Rows = found[from:min(from+pageRows, len(found))]
	t.From, t.To = min(from+1, t.Found), from+len(t.Rows)
	if t.Page > 1 {
		t.First, t.Prev = q.linkToPage(1), q.linkToPage(t.Page-1)
	}
	if t.Page < t.Pages {
		t.Next, t.Last = q.linkToPage(t.Page+1), q.linkToPage(t.Pages)
	}
	return t
}

func columns(q query) []column {
	var all []column
	for _, title := range []string{"Tenant", "Server", "State", "Age", "Policy", "Left", "Outcome", "Verified"} {
		key := strings.ToLower(title)
		c := column{Title: title, Class: key, Link: q.linkSortedBy(key)}
		switch q.Sort {
		case key:
			c.Order = "ascending"
		case "-" + key:
			c.Order = "descending"
		}
		all = append(all, c)
	}
	return all
}

// selected returns the tenants that match the query, most urgent first.
func (f fleet) selected(q query) []*row {
	words, part := strings.Fields(strings.ToLower(q.Text)), strings.ToLower(q.Server)
	// A known origin is matched exactly; other text is a part of one.
	exact := slices.ContainsFunc(f.rows, func(r *row) bool { return string(r.Origin) == q.Server })
	var found []*row
	for _, r := range f.rows {
		on := string(r.Origin) == q.Server || !exact && strings.Contains(string(r.Origin), part)
		missing := func(word string) bool { return !r.shows(word) }
		if r.inState(q.State) && (q.Server == "" || on) && !slices.ContainsFunc(words, missing) {
			found = append(found, r)
		}
	}
	return found
}

func (r *row) inState(state string) bool {
	switch state {
	case "":
		return true
	case stateFailed:
		return r.failed()
	case stateProblem:
		return r.State.Problem()
	}
	return string(r.PolicyState) == state
}

// shows reports whether the word, in lower case, occurs somewhere in the tenant's row.
func (r *row) shows(word string) bool {
	has := func(shown string) bool { return strings.Contains(strings.ToLower(shown), word) }
	return has(name(r.Tenant)) || has(name(r.User)) || has(name(r.Origin)) ||
		has(string(r.PolicyState)) || has(string(r.Outcome)) || has(string(r.State)) ||
		has(reason(r.Fault)) || has(reason(r.Reason)) || r.Vanishes() && has(r.Expiry())
}

// sortRows keeps rows with equal keys in order of urgency.
func sortRows(rows []*row, key string) {
	key, turned := strings.CutPrefix(key, "-")
	if key == byUrgency {
		if turned {
			slices.Reverse(rows)
		}
		return
	}
	slices.SortStableFunc(rows, func(a, b *row) int {
		if turned {
			a, b = b, a
		}
		return compare(key, a, b)
	})
}

// compare sorts unknown values first.
func compare(key string, a, b *row) int {
	switch key {
	case "user":
		return strings.Compare(a.User, b.User)
	case "server":
		return cmp.Compare(a.Origin, b.Origin)
	case "state":
		return cmp.Compare(a.PolicyState, b.PolicyState)
	case "age":
		return cmp.Compare(known(a.Age(a.now)), known(b.Age(b.now)))
	case "policy":
		return cmp.Compare(a.Policy.MaxAge(), b.Policy.MaxAge())
	case "left":
		return cmp.Compare(known(a.Left(a.now)), known(b.Left(b.now)))
	case "outcome":
		return cmp.Compare(a.Outcome, b.Outcome)
	case "verified":
		return cmp.Compare(a.State, b.State)
	}
	return strings.Compare(a.Tenant, b.Tenant)
}

func known(d time.Duration, ok bool) time.Duration {
	if !ok {
		return -1 << 63
	}
	return d
}

// server is one Mailu server: its state in the last run, and its tenants.
type server struct {
	status.ServerEntry        // only the origin if the last run did not use it
	Latency            string // empty: unknown
	Tenants            int
	Trouble            int // tenants that are neither ok nor merely due
}

// servers lists all servers that the records or the last run name, those with problems
// first.
func servers(f fleet, latency func(rotator.Origin) (time.Duration, bool)) []*server {
	var all []*server
	byOrigin := map[rotator.Origin]*server{}
	at := func(origin rotator.Origin) *server {
		s := byOrigin[origin]
		if s == nil {
			s = &server{ServerEntry: status.ServerEntry{Origin: origin}, Latency: milliseconds(latency(origin))}
			byOrigin[origin], all = s, append(all, s)
		}
		return s
	}
	for _, r := range f.rows {
		if r.Origin == "" {
			continue // its record names no server
		}
		s := at(r.Origin)
		s.Tenants++
		if r.PolicyState != rotator.PolicyStateOK && r.PolicyState != rotator.PolicyStateDue {
			s.Trouble++
		}
	}
	for _, e := range f.Servers {
		at(e.Origin).ServerEntry = e
	}
	slices.SortFunc(all, func(a, b *server) int {
		return cmp.Or(
			cmp.Compare(gravity(b.Breaker), gravity(a.Breaker)),
			cmp.Compare(b.Trouble, a.Trouble),
			strings.Compare(name(a.Origin), name(b.Origin)),
		)
	})
	return all
}

// gravity is higher for servers that the run uses less.
func gravity(b status.Breaker) int { return max(slices.Index(status.Breakers(), b), 0) }

// waiting returns the queues that are not empty, at most as many as the page has servers.
func waiting(all []status.QueueEntry) (some []status.QueueEntry) {
	for _, q := range all {
		if q.Batches > 0 && len(some) < maxServers {
			some = append(some, q)
		}
	}
	return some
}
