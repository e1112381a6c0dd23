package page_test

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"mailu-rotator/internal/page/pagetest"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

func TestTheTableBeginsWithTheMostUrgentAsStatusDoes(t *testing.T) {
	s := pagetest.Mixed(300)
	var statuses []rotator.Status
	for _, e := range s.Tenants {
		statuses = append(statuses, e.Status)
	}
	rotator.SortByUrgency(statuses, s.Now, pagetest.Settings().Timetable)
	var want []string
	for _, status := range statuses[:100] {
		want = append(want, status.Tenant)
	}

	if got := open(t, s, "/").tenants(); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%v, want\n%v", got, want)
	}
}

func TestEveryTenantIsOnOnePage(t *testing.T) {
	s := pagetest.Mixed(1050)
	seen := map[string]int{}
	target, pages := "/", 0
	for target != "" && pages < 20 {
		d := open(t, s, target)
		for _, id := range d.tenants() {
			seen[id]++
		}
		target = ""
		for _, link := range d.all(func(n *html.Node) bool { return attr(n, "rel") == "next" }) {
			target = "/" + strings.TrimSuffix(attr(link.Node, "href"), "#tenants")
		}
		pages++
	}

	if pages != 11 || len(seen) != 1050 {
		t.Errorf("%d tenants on %d pages, want 1050 on 11", len(seen), pages)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s is there %d times", id, n)
		}
	}
}

func TestAPageBeyondTheLastIsTheLast(t *testing.T) {
	d := open(t, pagetest.Mixed(300), "/?page=4000000000")

	if got := d.one(tag("p.found"), "the count").text(); got != "201–300 of 300" {
		t.Errorf("got %s", got)
	}
}

func TestTheTableIsNarrowed(t *testing.T) {
	s := pagetest.Mixed(300)
	timetable := pagetest.Settings().Timetable
	tests := map[string]func(status.Entry) bool{
		"state=overdue":                    func(e status.Entry) bool { return e.PolicyState(s.Now, timetable) == rotator.PolicyStateOverdue },
		"state=pending":                    func(e status.Entry) bool { return e.PolicyState(s.Now, timetable) == rotator.PolicyStatePending },
		"state=ignored":                    func(e status.Entry) bool { return e.Ignored },
		"state=failed":                     func(e status.Entry) bool { return e.Outcome.Failure() },
		"state=problem":                    func(e status.Entry) bool { return e.State.Problem() },
		"q=" + pagetest.Tenant(7):          func(e status.Entry) bool { return e.Tenant == pagetest.Tenant(7) },
		"q=CUSTOMER-77.EXAMPLE":            func(e status.Entry) bool { return e.User == "admin@customer-77.example" },
		"q=quarterly":                      func(e status.Entry) bool { return strings.Contains(e.Fault, "quarterly") },
		"q=too+long":                       func(e status.Entry) bool { return strings.Contains(e.Reason, "too long") },
		"server=https://mail3.example.com": func(e status.Entry) bool { return e.Origin == pagetest.Origin(2) },
		"server=MAIL3":                     func(e status.Entry) bool { return e.Origin == pagetest.Origin(2) },
		"server=mail3&q=customer-1+ok": func(e status.Entry) bool {
			return e.Origin == pagetest.Origin(2) && strings.Contains(e.User, "customer-1") &&
				(e.PolicyState(s.Now, timetable) == rotator.PolicyStateOK || e.State == rotator.StateOK)
		},
	}
	for query, matches := range tests {
		t.Run(query, func(t *testing.T) {
			var want []string
			for _, e := range s.Tenants {
				if matches(e) {
					want = append(want, e.Tenant)
				}
			}

			got := open(t, s, "/?"+query).tenants()

			slices.Sort(got)
			if len(want) == 0 || !reflect.DeepEqual(got, want) {
				t.Errorf("got %d tenants, want %d", len(got), len(want))
			}
		})
	}
}

func TestAServerIsTakenAtItsWordWhereOthersBeginAlike(t *testing.T) {
	s := pagetest.Healthy(12)
	s.Tenants[1].Origin = s.Tenants[0].Origin
	s.Tenants[0].Origin += ":8443"

	for _, id := range open(t, s, "/?server="+url.QueryEscape(string(s.Tenants[1].Origin))).tenants() {
		if id == s.Tenants[0].Tenant {
			t.Error("it found the server with a port as well")
		}
	}
}

func TestTheTableIsSorted(t *testing.T) {
	s := pagetest.Mixed(60)
	keys := map[string]func(a, b status.Entry) bool{
		"tenant": func(a, b status.Entry) bool { return a.Tenant <= b.Tenant },
		"user":   func(a, b status.Entry) bool { return a.User <= b.User },
		"server": func(a, b status.Entry) bool { return a.Origin <= b.Origin },
		"age": func(a, b status.Entry) bool {
			ageA, known := a.Age(s.Now)
			ageB, _ := b.Age(s.Now)
			return !known || ageA <= ageB
		},
		"left":     func(a, b status.Entry) bool { return a.Due.IsZero() || !b.Due.IsZero() && !a.Due.After(b.Due) },
		"policy":   func(a, b status.Entry) bool { return a.Policy.MaxAge() <= b.Policy.MaxAge() },
		"outcome":  func(a, b status.Entry) bool { return a.Outcome <= b.Outcome },
		"verified": func(a, b status.Entry) bool { return a.State <= b.State },
		"state": func(a, b status.Entry) bool {
			return a.PolicyState(s.Now, pagetest.Settings().Timetable) <= b.PolicyState(s.Now, pagetest.Settings().Timetable)
		},
	}
	byName := map[string]status.Entry{}
	for _, e := range s.Tenants {
		byName[e.Tenant] = e
	}
	for key, inOrder := range keys {
		t.Run(key, func(t *testing.T) {
			up, down := open(t, s, "/?sort="+key).tenants(), open(t, s, "/?sort=-"+key).tenants()

			for i := range len(up) - 1 {
				if !inOrder(byName[up[i]], byName[up[i+1]]) {
					t.Errorf("ascending: %s is before %s", up[i], up[i+1])
				}
				if !inOrder(byName[down[i+1]], byName[down[i]]) {
					t.Errorf("descending: %s is before %s", down[i], down[i+1])
				}
			}
			if len(up) != 60 || len(down) != 60 {
				t.Errorf("%d and %d rows", len(up), len(down))
			}
		})
	}
}

func TestAHeadingSortsAndSaysSo(t *testing.T) {
	heading := func(target string) document {
		return open(t, pagetest.Mixed(60), target).one(tag("th.c-age"), "the heading of the age")
	}
	link := func(d document) string { return attr(d.one(tag("a"), "its link").Node, "href") }

	first := heading("/?q=a")
	if got := link(first); got != "?q=a&sort=age#tenants" || attr(first.Node, "aria-sort") != "" {
		t.Errorf("unsorted it leads to %s", got)
	}
	second := heading("/?q=a&sort=age")
	if got := link(second); got != "?q=a&sort=-age#tenants" || attr(second.Node, "aria-sort") != "ascending" {
		t.Errorf("ascending it leads to %s", got)
	}
	third := heading("/?q=a&sort=-age")
	if got := link(third); got != "?q=a&sort=age#tenants" || attr(third.Node, "aria-sort") != "descending" {
		t.Errorf("descending it leads to %s", got)
	}
}

func TestAnotherOrderBeginsAtItsFirstPage(t *testing.T) {
	heading := open(t, pagetest.Mixed(300), "/?page=3").one(tag("th.c-age"), "the heading of the age")

	if got := attr(heading.one(tag("a"), "its link").Node, "href"); got != "?sort=age#tenants" {
		t.Errorf("it leads to %s", got)
	}
}

func TestWhatFallsDueThisInstantIsOver(t *testing.T) {
	s := pagetest.Healthy(1)
	s.Tenants[0].Due = s.Now

	if got := open(t, s, "/").one(tag("td.c-left"), "what is left").text(); !strings.HasPrefix(got, "0 seconds over") {
		t.Errorf("got %s", got)
	}
}

func TestTheSearchKeepsWhatWasAsked(t *testing.T) {
	form := open(t, pagetest.Mixed(60), `/?q=a+"b"&state=failed&server=mail1&sort=-left`).one(tag("form"), "the form")

	var got []string
	for _, n := range form.all(func(n *html.Node) bool { return n.Data == "input" }) {
		got = append(got, attr(n.Node, "name")+"="+attr(n.Node, "value"))
	}
	for _, n := range form.all(func(n *html.Node) bool {
		return n.Data == "option" && slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "selected" })
	}) {
		got = append(got, n.text())
	}
	if want := []string{`q=a "b"`, "server=mail1", "failed", "left, reversed"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestNobodyFoundIsSaid(t *testing.T) {
	if got := open(t, pagetest.Healthy(12), "/?q=nobody").id("tenants").text(); !strings.Contains(got, "No tenant is like that.") {
		t.Errorf("got %s", got)
	}
}

func TestATenantTellsAllThatIsKnownOfIt(t *testing.T) {
	s := pagetest.Mixed(300)
	d := open(t, s, "/?q="+pagetest.Tenant(1))

	got := d.id("tenants").one(tag("tbody"), "the rows").text()

	for _, want := range []string{
		pagetest.Tenant(1), "admin@customer-1.example", "https://mail2.example.com", "overdue", "189 days", "180 days", "9 days over", "2026-11-16 14:32",
		"failed", "3 minutes ago", "2026-11-25 14:29", "create the user in Mailu", "ok", "3 days ago",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %s", want, got)
		}
	}
}
