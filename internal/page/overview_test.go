package page_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mailu-rotator/internal/page/pagetest"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

func TestServersInTroubleComeFirst(t *testing.T) {
	rows := open(t, pagetest.Mixed(300), "/").id("servers").texts(tag("tr"))[1:]

	if len(rows) != 8 {
		t.Fatalf("%d servers", len(rows))
	}
	for i, want := range []string{"https://mail3.example.com stopped 1 minute ago look up", "https://mail2.example.com paused 1 minute ago, until 2026-11-25 14:33"} {
		if !strings.HasPrefix(rows[i], want) {
			t.Errorf("row %d is %s", i, rows[i])
		}
	}
	for _, row := range rows {
		if strings.HasPrefix(row, "https://mail1.example.com ok now 365 ms") {
			return
		}
	}
	t.Errorf("the server in use is not among %v", rows)
}

func TestWhatIsOnlyDueIsNoTroubleOfItsServer(t *testing.T) {
	s := pagetest.Healthy(2)
	for i := range s.Tenants {
		s.Tenants[i].Origin = pagetest.Origin(0)
	}
	s.Tenants[0].Due = s.Now.Add(-time.Hour)
	s.Tenants[1].Fault = "malformed"

	row := open(t, s, "/").id("servers").texts(tag("tr"))[1]

	if !strings.HasSuffix(row, " 2 1") {
		t.Errorf("want 2 tenants, 1 in trouble: %s", row)
	}
}

// Another host may have rotated it, or an operator.
func TestAFailureIsOverOnceThePasswordIsNewer(t *testing.T) {
	s := pagetest.Healthy(2)
	for i := range s.Tenants {
		s.Tenants[i].Outcome, s.Tenants[i].At = rotator.Failed, s.Now.Add(-2*time.Hour)
	}
	s.Tenants[1].Born = s.Now.Add(-time.Hour)

	d := open(t, s, "/?state=failed")

	if got := d.tenants(); d.tile("failed") != 1 || len(got) != 1 || got[0] != s.Tenants[0].Tenant {
		t.Errorf("%d failed, and listed are %v", d.tile("failed"), got)
	}
}

func TestARotationIsHalfFinishedOnceItsClaimHasLapsed(t *testing.T) {
	s := pagetest.Healthy(3)
	s.Tenants[0].Pending = &rotator.Claim{Owner: "ops1", Until: s.Now}
	s.Tenants[1].Pending = &rotator.Claim{Owner: "ops2", Until: s.Now.Add(time.Second)}

	d := open(t, s, "/?state=pending")

	if got := d.headline(); got != "1 rotation is half-finished." {
		t.Errorf("the headline is %s", got)
	}
	table := d.id("tenants").text()
	for _, want := range []string{"half-finished; the claim of ops1 has lapsed", "under way in ops2"} {
		if !strings.Contains(table, want) {
			t.Errorf("%q is not in %s", want, table)
		}
	}
}

func TestManyServersAreListedInPart(t *testing.T) {
	s := pagetest.Healthy(300)
	for i := range s.Tenants {
		s.Tenants[i].Origin = pagetest.Origin(i)
	}
	d := open(t, s, "/").id("servers")

	if rows := len(d.all(tag("tr"))) - 1; rows != 50 || !strings.Contains(d.text(), "And 250 more servers") {
		t.Errorf("%d servers are listed", rows)
	}
}

func TestRunsTellWhatCameOfThem(t *testing.T) {
	d := open(t, pagetest.Mixed(300), "/")
	rows := d.id("runs").texts(tag("tr"))[1:]

	for i, want := range []string{"sweep 2026-11-25 14:28 4 minutes ago – 13 11 0 under way", "sweep 2026-11-25 03:01 11 hours ago 4 s 3 3 0 all well"} {
		if rows[i] != want {
			t.Errorf("row %d is %q, want %q", i, rows[i], want)
		}
	}
	if got := d.one(tag("p.running"), "the run under way").text(); got != "A sweep is under way: 11 of 13 done, begun 4 minutes ago." {
		t.Errorf("got %s", got)
	}
}

func TestAnInterruptedRunIsNoneThatEnded(t *testing.T) {
	tests := map[string]status.RunEntry{
		"interrupted 4 not begun":   {Interrupted: true, Deferred: 4},
		"interrupted":               {Interrupted: true, Failures: 2},
		"with failures 3 not begun": {Failures: 1, Deferred: 3},
		"all well 5 not begun":      {Deferred: 5},
		"all well":                  {},
	}
	for want, e := range tests {
		s := pagetest.Healthy(10)
		e.Task, e.Started, e.Finished = "sweep", s.Now.Add(-time.Hour), s.Now
		s.Runs = []status.RunEntry{e}

		row := open(t, s, "/").id("runs").texts(tag("tr"))[1]

		if shown := fmt.Sprintf("1 h 0 min 0 0 %d %s", e.Failures, want); !strings.HasSuffix(row, shown) {
			t.Errorf("the row is %q, want it to end in %q", row, shown)
		}
	}
}

func TestARefusedRunSaysWhyAndThePageStaysUseful(t *testing.T) {
	for name, s := range map[string]status.Snapshot{"before the first scan": pagetest.Refused(), "later": pagetest.Sealed(300)} {
		d := open(t, s, "/")

		reason := "vault at https://vault.example.com:8200 is sealed: unseal it"
		for _, place := range []document{d.one(tag("section.verdict"), "the verdict"), d.id("runs")} {
			if !strings.Contains(place.text(), reason) {
				t.Errorf("%s: the reason is not in %s", name, place.text())
			}
		}
		if got := len(d.tenants()); got != min(100, len(s.Tenants)) {
			t.Errorf("%s: %d tenants are listed", name, got)
		}
	}
}

func TestBeforeTheFirstTenantThePageSaysHowToAddIt(t *testing.T) {
	d := open(t, pagetest.Uninhabited(), "/")

	verdict := d.one(tag("section.verdict"), "the verdict")
	if !strings.HasSuffix(strings.Split(verdict.text(), " Records read")[0], "added by: "+pagetest.Settings().AddFirst) || len(verdict.all(tag("code"))) != 1 {
		t.Errorf("the verdict is %s", verdict.text())
	}
	if class := attr(verdict.Node, "class"); class != "verdict notice" {
		t.Errorf("its tone is %s", class)
	}
	if row := d.id("runs").text(); !strings.Contains(row, rotator.ErrNoTenants.Error()) {
		t.Errorf("the sweep counts as one that took place: %s", row)
	}
}

func TestTimesAreInUTCAndMachinesCanReadThem(t *testing.T) {
	d := open(t, pagetest.Mixed(300), "/")

	for _, n := range d.all(tag("time")) {
		machine := attr(n.Node, "datetime")
		if !strings.HasSuffix(machine, "Z") || n.text() != strings.Replace(machine[:16], "T", " ", 1) {
			t.Errorf("%s is shown as %s", machine, n.text())
		}
	}
	if got := d.one(tag("p.asof"), "the time").text(); !strings.HasPrefix(got, "as of 2026-11-25 14:32 UTC") {
		t.Errorf("got %s", got)
	}
}

func TestTheFooterSaysWhatRuns(t *testing.T) {
	got := open(t, pagetest.Healthy(12), "/").one(tag("footer"), "the footer").text()

	for _, want := range []string{"mailu-rotator v1.0.0 (go", "default policy 180 days", "all times in UTC", "holds no password"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %s", want, got)
		}
	}
}
