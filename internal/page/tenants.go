package page

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"mailu-rotator/rotator"
)

// pageRows is how many tenants a page of the table has.
const pageRows = 100

// none is shown where there is no value.
const none = "–"

// table is the selected part of the tenants.
type table struct {
	Rows    []tenant
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

// tenant is a row as it is displayed.
type tenant struct {
	Name     string
	User     string
	Origin   string
	Standing rotator.Standing
	Reason   string // explains the state
	Age      string
	Share    string // of the policy, at most 100 percent; empty: unknown
	Policy   string
	Left     string
	Over     bool // Left is the time since it fell due
	Due      moment
	Outcome  rotator.Outcome
	Failed   bool
	Why      string // explains the outcome
	At       moment
	State    rotator.State
	Problem  bool
	Verified moment
}

func newTable(f fleet, q query) table {
	found := f.selected(q)
	sortRows(found, q.sort, f.Now)
	t := table{Found: len(found), Pages: max(1, (len(found)+pageRows-1)/pageRows)}
	t.Page = min(q.page, t.Pages)
	from := (t.Page - 1) * pageRows
	found = found[from:min(from+pageRows, len(found))]
	t.From, t.To = min(from+1, t.Found), from+len(found)
	for _, r := range found {
		t.Rows = append(t.Rows, newTenant(f, r))
	}
	t.Columns = columns(q)
	if t.Page > 1 {
		t.First, t.Prev = q.atPage(1).link(), q.atPage(t.Page-1).link()
	}
	if t.Page < t.Pages {
		t.Next, t.Last = q.atPage(t.Page+1).link(), q.atPage(t.Pages).link()
	}
	return t
}

func columns(q query) []column {
	all := []column{
		{Title: "Tenant", Class: "tenant"}, {Title: "Server", Class: "server"}, {Title: "State", Class: "state"}, {Title: "Age", Class: "age"},
		{Title: "Policy", Class: "policy"}, {Title: "Left", Class: "left"}, {Title: "Outcome", Class: "outcome"}, {Title: "Verified", Class: "verified"},
	}
	for i := range all {
		c := &all[i]
		c.Link = q.sortedBy(c.Class).link()
		switch q.sort {
		case c.Class:
			c.Order = "ascending"
		case "-" + c.Class:
			c.Order = "descending"
		}
	}
	return all
}

// selected returns the tenants that match the query, most urgent first.
func (f fleet) selected(q query) []*row {
	wanted := strings.Fields(strings.ToLower(q.text))
	on := f.originFilter(q.server)
	var found []*row
	for _, r := range f.rows {
		if inFilter(r, q.state) && on(r.Origin) && r.says(wanted) {
			found = append(found, r)
		}
	}
	return found
}

func inFilter(r *row, state string) bool {
	switch state {
	case "":
		return true
	case stateFailed:
		return r.failed()
	case stateProblem:
		return r.State.Problem()
	}
	return string(r.standing) == state
}

// originFilter matches a known origin exactly, and treats other text as part of one.
func (f fleet) originFilter(wanted string) func(rotator.Origin) bool {
	exact := slices.ContainsFunc(f.rows, func(r *row) bool { return string(r.Origin) == wanted })
	part := strings.ToLower(wanted)
	return func(origin rotator.Origin) bool {
		return wanted == "" || string(origin) == wanted || !exact && strings.Contains(string(origin), part)
	}
}

// says reports whether each of the words, in lower case, occurs somewhere in the
// tenant's row.
func (r *row) says(words []string) bool {
	for _, w := range words {
		if !r.shows(w) {
			return false
		}
	}
	return true
}

func (r *row) shows(word string) bool {
	has := func(text string, most int) bool { return strings.Contains(strings.ToLower(visible(text, most)), word) }
	return has(r.Tenant, maxName) || has(r.User, maxName) || has(string(r.Origin), maxName) ||
		strings.Contains(string(r.standing), word) || strings.Contains(string(r.Outcome), word) || strings.Contains(string(r.State), word) ||
		has(r.Fault, maxReason) || has(r.Reason, maxReason) || strings.Contains(r.expiry(), word)
}

// sortRows keeps rows with equal keys in order of urgency.
func sortRows(rows []*row, key string, now time.Time) {
	key, turned := strings.CutPrefix(key, "-")
	if key == "urgency" {
		if turned {
			slices.Reverse(rows)
		}
		return
	}
	compare := comparison(key, now)
	slices.SortStableFunc(rows, func(a, b *row) int {
		if turned {
			a, b = b, a
		}
		return compare(a, b)
	})
}

// comparison sorts unknown values first.
func comparison(key string, now time.Time) func(a, b *row) int {
	switch key {
	case "user":
		return func(a, b *row) int { return strings.Compare(a.User, b.User) }
	case "server":
		return func(a, b *row) int { return strings.Compare(string(a.Origin), string(b.Origin)) }
	case "state":
		return func(a, b *row) int { return strings.Compare(string(a.standing), string(b.standing)) }
	case "age":
		return func(a, b *row) int { return cmp.Compare(known(a.Age(now)), known(b.Age(now))) }
	case "policy":
		return func(a, b *row) int { return cmp.Compare(a.Policy.MaxAge(), b.Policy.MaxAge()) }
	case "left":
		return func(a, b *row) int { return cmp.Compare(known(a.Left(now)), known(b.Left(now))) }
	case "outcome":
		return func(a, b *row) int { return strings.Compare(string(a.Outcome), string(b.Outcome)) }
	case "verified":
		return func(a, b *row) int { return strings.Compare(string(a.State), string(b.State)) }
	}
	return func(a, b *row) int { return strings.Compare(a.Tenant, b.Tenant) }
}

func known(d time.Duration, ok bool) time.Duration {
	if !ok {
		return -1 << 63
	}
	return d
}

func newTenant(f fleet, r *row) tenant {
	t := tenant{
		Name: visible(r.Tenant, maxName), User: visible(r.User, maxName), Origin: visible(string(r.Origin), maxName),
		Standing: r.standing, Reason: standingReason(f, r), Age: "unknown", Policy: policyText(r.Policy), Due: f.moment(r.Due),
		Outcome: r.Outcome, Failed: r.Outcome.Failure(), Why: visible(r.Reason, maxReason), At: f.moment(r.At),
		State: r.State, Problem: r.State.Problem(), Verified: f.moment(r.StateSince),
	}
	if r.standing == rotator.StandingIgnored {
		t.Age, t.Policy, t.Left = none, none, none
		return t
	}
	age, known := r.Age(f.Now)
	if known {
		t.Age = words(age)
	}
	if known && r.Policy.MaxAge() > 0 {
		t.Share = percent(min(float64(age), float64(r.Policy.MaxAge())), int(r.Policy.MaxAge()))
	}
	left, comes := r.Left(f.Now)
	switch {
	case comes:
		t.Left, t.Over = words(left), left <= 0
	case r.Policy.Manual():
		t.Left = "never due"
	}
	return t
}

// standingReason is empty if the standing needs no explanation.
func standingReason(f fleet, r *row) string {
	reason, expiry := standingText(f, r), r.expiry()
	if reason == "" || expiry == "" {
		return reason + expiry
	}
	return reason + "; " + expiry
}

// expiry says when the record deletes itself, if that is too early.
func (r *row) expiry() string {
	if !r.Vanishes() {
		return ""
	}
	return r.Expiry()
}

func standingText(f fleet, r *row) string {
	switch {
	case r.Fault != "":
		return visible(r.Fault, maxReason)
	case r.Pending == nil:
		return ""
	case r.halfFinished(f.Now):
		return "half-finished; the claim of " + visible(r.Pending.Owner, maxName) + " has lapsed"
	}
	return "under way in " + visible(r.Pending.Owner, maxName)
}
