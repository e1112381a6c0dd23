package page_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"mailu-rotator/internal/page"
	"mailu-rotator/internal/page/pagetest"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

func rootWith(query string) *url.URL { return &url.URL{Path: "/", RawQuery: query} }

func serve(s status.Snapshot, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	page.New(pagetest.Config(s)).ServeHTTP(w, r)
	return w
}

// byState counts tenants with the rotator package.
func byState(s status.Snapshot) map[rotator.PolicyState]int {
	n := map[rotator.PolicyState]int{}
	for _, e := range s.Tenants {
		n[e.PolicyState(s.Now, pagetest.Settings().Timetable)]++
	}
	return n
}

func TestTheTilesCountTheFleet(t *testing.T) {
	for _, tenants := range []int{12, 300, 10_000} {
		s := pagetest.Mixed(tenants)
		d := open(t, s, "/")

		for state, want := range byState(s) {
			if want == 0 {
				t.Fatalf("the fleet of %d has no tenant that is %s", tenants, state)
			}
			if state == rotator.PolicyStateIgnored {
				continue // named below the tiles
			}
			if got := d.tile(string(state)); got != want {
				t.Errorf("of %d tenants %d are %s, want %d", tenants, got, state, want)
			}
		}
		if got := d.tile("failed"); got != 3 {
			t.Errorf("%d failed, want 3", got)
		}
		if got := d.tile("problem"); got != 3 {
			t.Errorf("%d have problems, want 3", got)
		}
	}
}

func TestEachTenantIsInTheHistogramOnceOrNamedBesideIt(t *testing.T) {
	for _, tenants := range []int{12, 300, 10_000} {
		s := pagetest.Mixed(tenants)
		ages := open(t, s, "/").id("ages")

		sum := 0
		for _, cell := range ages.texts(tag("td.num")) {
			sum += ages.number(cell)
		}
		drawn := 0
		for _, title := range ages.texts(func(n *html.Node) bool { return n.Data == "title" && strings.Contains(n.FirstChild.Data, " %") }) {
			_, count, _ := strings.Cut(title, ": ")
			drawn += ages.number(count)
		}
		apart := 0
		for _, word := range strings.Fields(ages.one(tag("p.note"), "what is not shown").text()) {
			if word[0] >= '0' && word[0] <= '9' {
				apart += ages.number(word)
			}
		}

		if sum != drawn {
			t.Errorf("the bars have %d tenants, the table has %d", drawn, sum)
		}
		if want := len(s.Tenants) - byState(s)[rotator.PolicyStateIgnored]; sum+apart != want {
			t.Errorf("%d and %d tenants, want %d", sum, apart, want)
		}
	}
}

func TestAnAgeIsAShareOfItsOwnPolicy(t *testing.T) {
	for days, want := range map[int]string{0: "0–10 %: 1", 9: "30–40 %: 1", 29: "90–100 %: 1", 30: "100–110 %: 1", 44: "140–150 %: 1", 45: "150 % and more: 1", 9000: "150 % and more: 1"} {
		s := pagetest.Healthy(1)
		s.Tenants[0].Policy, s.Tenants[0].Born = pagetest.Policy("30_days"), s.Now.AddDate(0, 0, -days)

		bars := open(t, s, "/").id("ages").texts(func(n *html.Node) bool { return n.Data == "title" && n.Parent.Data == "g" })

		if len(bars) != 1 || bars[0] != want {
			t.Errorf("%d days of 30 are in %q, want %s", days, bars, want)
		}
	}
}

func TestEachTenantIsInTheCalendarOnceOrNamedAboveIt(t *testing.T) {
	for _, tenants := range []int{12, 300, 10_000} {
		s := pagetest.Mixed(tenants)
		calendar := open(t, s, "/").id("calendar")

		drawn := map[string]int{}
		days := 0
		for _, title := range calendar.texts(func(n *html.Node) bool {
			return n.Data == "title" && strings.HasSuffix(n.FirstChild.Data, " due") && n.Parent.Data == "g"
		}) {
			date, count, _ := strings.Cut(strings.TrimSuffix(title, " due"), ": ")
			if n := calendar.number(count); n > 0 {
				drawn[strings.Fields(date)[1]] = n
			}
			days++
		}
		want := map[string]int{}
		end := s.Now.Truncate(24*time.Hour).AddDate(0, 0, 180)
		for _, e := range s.Tenants {
			left, comes := e.Left(s.Now)
			state := e.PolicyState(s.Now, pagetest.Settings().Timetable)
			if comes && left > 0 && e.Due.Before(end) && state != rotator.PolicyStateInvalid {
				want[e.Due.UTC().Format(time.DateOnly)]++
			}
		}

		if days != 180 {
			t.Errorf("%d days are shown", days)
		}
		for date, n := range want {
			if drawn[date] != n {
				t.Errorf("on %s %d are due, want %d", date, drawn[date], n)
			}
		}
		sums := calendar.texts(tag("p.sums"))[0]
		total := 0
		for _, part := range []string{" already due", " due, of unknown age", " in 180 days", " later", " never", " invalid"} {
			total += numberBefore(calendar, sums, part)
		}
		if want := len(s.Tenants) - byState(s)[rotator.PolicyStateIgnored]; total != want {
			t.Errorf("the sums have %d tenants, want %d: %s", total, want, sums)
		}
		inTable := 0
		for _, cell := range calendar.all(tag("td.num")) {
			if len(cell.all(tag("b"))) == 0 && cell.text() != "" {
				inTable += calendar.number(cell.text())
			}
		}
		if want := numberBefore(calendar, sums, " in 180 days"); inTable != want {
			t.Errorf("the table has %d tenants, want %d", inTable, want)
		}
	}
}

func TestTheCalendarSumsWeeksAndMonths(t *testing.T) {
	s := pagetest.Healthy(4)
	today := s.Now.Truncate(24 * time.Hour)
	for i, days := range []int{6, 7, 29, 30} {
		s.Tenants[i].Due = today.AddDate(0, 0, days)
	}

	calendar := open(t, s, "/").id("calendar")

	sums := calendar.one(tag("p.sums"), "the sums").text()
	for words, want := range map[string]int{" in 7 days": 1, " in 30 days": 3, " in 180 days": 4} {
		if got := numberBefore(calendar, sums, words); got != want {
			t.Errorf("%d%s, want %d", got, words, want)
		}
	}
}

// numberBefore returns the number in front of the words, or 0 if they are missing.
func numberBefore(d document, text, words string) int {
	before, _, found := strings.Cut(text, words)
	if !found {
		return 0
	}
	fields := strings.Fields(before)
	return d.number(fields[len(fields)-1])
}

func TestManualTenantsAreNamedWhereAllIsWell(t *testing.T) {
	s := pagetest.Healthy(12)
	s.Tenants[0].Policy, s.Tenants[0].Due = pagetest.Policy("manual"), time.Time{}

	d := open(t, s, "/")

	want := "All 12 passwords are younger than their policy. 1 tenant is under a manual policy, which no age makes due."
	if got := d.one(tag("section.verdict"), "the verdict").text(); !strings.HasPrefix(got, want) {
		t.Errorf("got %s", got)
	}
}

func TestTheHeadlineIsWhatMatters(t *testing.T) {
	overdue := pagetest.Mixed(300)
	due := pagetest.Healthy(12)
	due.Tenants[0].Due = due.Now.Add(-time.Hour)
	invalid := pagetest.Healthy(12)
	invalid.Tenants[0].Fault = "malformed"
	expiring := pagetest.Healthy(12)
	expiring.Tenants[3].Expires = expiring.Now.Add(time.Hour)
	stale := pagetest.Healthy(12)
	stale.Scanned = stale.Now.Add(-3 * 24 * time.Hour)
	stale.Runs = nil
	stopped := pagetest.Healthy(12)
	stopped.Servers = []status.ServerEntry{{Origin: pagetest.Origin(0), Breaker: status.BreakerStopped, Since: stopped.Now, Reason: "status 403"}}
	tests := map[string]struct {
		snapshot status.Snapshot
		want     string
	}{
		"nothing is wrong":          {pagetest.Healthy(300), "All 300 passwords are younger than their policy."},
		"one password":              {pagetest.Healthy(1), "The only password is younger than its policy."},
		"some are overdue":          {overdue, "4 of 298 passwords are overdue."},
		"one is due":                {due, "1 of 12 passwords is due."},
		"one is invalid":            {invalid, "1 record is invalid."},
		"one deletes itself":        {expiring, "1 record deletes itself before a rotation writes it anew."},
		"Vault is sealed":           {pagetest.Sealed(300), "The last sweep could not take place."},
		"the daemon sleeps":         {stale, "What is shown here is old."},
		"a server was given up":     {stopped, "https://mail1.example.com was given up in the last run."},
		"nothing was read yet":      {pagetest.Unread(), "Reading the records…"},
		"nothing could be read yet": {pagetest.Refused(), "The last sweep could not take place."},
		"there is nobody":           {pagetest.Empty(), "There is no tenant yet."},
		"there never was anybody":   {pagetest.Uninhabited(), "0 tenants."},
		"everybody is gone":         {pagetest.Emptied(300), "The last sweep could not take place."},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := open(t, test.snapshot, "/")

			if got := d.headline(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			title := d.one(func(n *html.Node) bool { return n.Data == "title" && n.Parent.Data == "head" }, "the title")
			if title.text() != test.want+" – mailu-rotator" {
				t.Errorf("the tab says %q", title.text())
			}
		})
	}
}

func TestTheOldestIsNamedByItsUser(t *testing.T) {
	s := pagetest.Mixed(12)
	for i := range s.Tenants {
		s.Tenants[i].User = "admin@customer.example"
	}

	if said := open(t, s, "/").one(tag("section.verdict"), "the verdict").text(); !strings.Contains(said, " The longest: admin@customer.example, 18") {
		t.Errorf("the verdict is %s", said)
	}
	for i := range s.Tenants {
		s.Tenants[i].User = ""
	}
	if said := open(t, s, "/").one(tag("section.verdict"), "the verdict").text(); !strings.Contains(said, " The longest: 9e3779b1-0001-") {
		t.Errorf("the verdict is %s", said)
	}
}

func TestRecordsThatDeleteThemselvesAreListed(t *testing.T) {
	s := pagetest.Healthy(12)
	s.Tenants[3].Expires, s.Tenants[5].Expires = s.Now.Add(2*time.Hour), s.Now.Add(time.Hour)
	s.Tenants[7].Expires = s.Now.Add(10 * 365 * 24 * time.Hour) // long after its policy's end

	d := open(t, s, "/")

	said := d.one(tag("section.verdict"), "the verdict").text()
	if !strings.HasPrefix(said, "2 records delete themselves before a rotation writes them anew.") || !strings.Contains(said, s.Tenants[5].User) {
		t.Errorf("the verdict is %s", said)
	}
	found := open(t, s, "/?q=deletes+itself")
	if n := len(found.tenants()); n != 2 || strings.Count(found.id("tenants").text(), "the record deletes itself at 2026-11-25T1") != 2 {
		t.Errorf("%d tenants are found: %s", n, found.id("tenants").text())
	}
}
