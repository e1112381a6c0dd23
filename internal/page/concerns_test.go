package page_test

import (
	"strings"
	"testing"
	"time"

	"mailu-rotator/internal/page"
	"mailu-rotator/internal/page/pagetest"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

// told is what the page says first: who has a problem, and what to type.
func (d document) told(t *testing.T) (tone, said, command string) {
	t.Helper()
	verdict := d.one(tag("section.verdict"), "the verdict")
	said, _, _ = strings.Cut(verdict.text(), " Records read")
	if codes := verdict.all(tag("code")); len(codes) > 0 {
		command = codes[0].text()
	}
	return strings.TrimPrefix(attr(verdict.Node, "class"), "verdict "), said, command
}

func TestAConcernSaysWhoAndWhatToType(t *testing.T) {
	tenant, user := pagetest.Tenant(0), "admin@customer-0.example"
	changed := func(change func(*status.Entry)) status.Snapshot {
		s := pagetest.Healthy(12)
		for i := range s.Tenants {
			if s.Tenants[i].Tenant == tenant {
				change(&s.Tenants[i])
			}
		}
		return s
	}
	overdue := func(e *status.Entry) {
		e.Born = pagetest.Now.Add(-200 * 24 * time.Hour)
		e.Due = e.Born.Add(e.Policy.MaxAge())
	}
	failed := func(e *status.Entry) {
		e.Outcome, e.At, e.Reason = rotator.Failed, pagetest.Now, "user unknown to this server"
	}
	drift := func(e *status.Entry) { e.State = rotator.StateDrift }
	stopped := pagetest.Healthy(12)
	stopped.Servers = []status.ServerEntry{{Origin: pagetest.Origin(0), Breaker: status.BreakerStopped, Since: stopped.Now, Reason: "status 403"}}
	refused := pagetest.Healthy(12)
	refused.Logins = []status.LoginEntry{
		{Origin: pagetest.Origin(1), State: rotator.LoginAccepted, At: refused.Now},
		{Origin: pagetest.Origin(0), State: rotator.LoginRefused, At: refused.Now, Reason: "login refused: 535"},
	}
	loginState := changed(func(e *status.Entry) { e.State = rotator.StateLoginNotPossible })
	stale := pagetest.Healthy(12)
	stale.Scanned, stale.Runs = stale.Now.Add(-3*24*time.Hour), nil
	for name, test := range map[string]struct {
		snapshot status.Snapshot
		tone     string
		said     string
		command  string
	}{
		"overdue":       {changed(overdue), "bad", "1 of 12 passwords is overdue. The sweep that should have rotated it is over. The longest: " + user, "mailu-rotator --run-now --due-only"},
		"failed":        {changed(failed), "notice", "The last run failed on 1 tenant. " + user + ": user unknown to this server.", "mailu-rotator --run-now --due-only"},
		"drift":         {changed(drift), "bad", "The last verification found a problem with 1 tenant. " + user + ": drift.", "mailu-rotator verify"},
		"stuck":         {pagetest.Single(12, pagetest.Stuck), "bad", "1 rotation is stuck. " + user + ". Only a run that names the tenant goes on. First see to https://mail", "mailu-rotator --run-now --tenant " + tenant},
		"half-finished": {pagetest.Single(12, pagetest.HalfFinished), "notice", "1 rotation is half-finished. The next run finishes it, with the same password.", ""},
		"unreadable":    {pagetest.Single(12, pagetest.Unreadable), "bad", "1 record is invalid. " + user + ": read vault/data/smtp/" + tenant, "mailu-rotator doctor"},
		"sealed":        {pagetest.Sealed(12), "bad", "The last sweep could not take place.", "mailu-rotator doctor"},
		"a server":      {stopped, "bad", "https://mail1.example.com was given up in the last run.", "mailu-rotator doctor"},
		"a login":       {refused, "bad", "The last login at https://mail1.example.com failed. now ( 2026-11-25 14:32): login refused: 535", "mailu-rotator doctor"},
		"not possible":  {loginState, "bad", "The last verification found a problem with 1 tenant. " + user + ": login not possible.", "mailu-rotator verify"},
		"old":           {stale, "bad", "What is shown here is old.", "journalctl -u mailu-rotator -p warning -S -1d"},
		"no Vault yet":  {pagetest.Waiting(), "bad", "Vault does not serve, and is waited for. 4 minutes ago ( 2026-11-25 14:28): Get", "mailu-rotator doctor"},
		"misconfigured": {pagetest.Misconfigured(12), "notice", "The last reload was refused: the old configuration stays in force. 40 minutes ago ( 2026-11-25 13:52): /etc/mailu-rotator/config.yaml: line 14", "mailu-rotator config check"},
		"unverified":    {pagetest.Unverified(12), "notice", "A verification was missed. 17 days ago", "mailu-rotator verify"},
		"healthy":       {pagetest.Healthy(12), "good", "All 12 passwords are younger than their policy.", ""},
	} {
		t.Run(name, func(t *testing.T) {
			tone, said, command := open(t, test.snapshot, "/").told(t)

			if tone != test.tone || !strings.HasPrefix(said, test.said) || command != test.command {
				t.Errorf("got %s, %q: %s", tone, command, said)
			}
		})
	}
}

func TestAConcernCountsTheOthers(t *testing.T) {
	s := pagetest.Healthy(300)
	for i := range 5 {
		s.Tenants[i].State = rotator.StateDrift
	}

	if _, said, _ := open(t, s, "/").told(t); !strings.Contains(said, ": drift; and 4 more.") {
		t.Error(said)
	}
}

// The next run does not finish it, and --due-only does not help.
func TestAStuckRotationIsToldOnce(t *testing.T) {
	s := pagetest.Single(12, pagetest.Stuck)
	for i := range s.Tenants {
		if s.Tenants[i].Pending != nil {
			s.Tenants[i].Outcome, s.Tenants[i].At = rotator.Stuck, s.Now
		}
	}

	_, said, _ := open(t, s, "/").told(t)

	if strings.Contains(said, "half-finished") || strings.Contains(said, "failed") {
		t.Error(said)
	}
}

func TestTheRestIsCounted(t *testing.T) {
	s := pagetest.Healthy(12)
	s.Tenants[0].Fault, s.Tenants[1].Fault = "malformed", "malformed"
	s.Tenants[2].Pending = &rotator.Claim{Owner: "ops1", Until: s.Now.Add(time.Minute)}
	for _, want := range []string{
		"9 of 12 passwords are younger than their policy. 2 are invalid, 1 is in the middle of a rotation.",
		"10 of 12 passwords are younger than their policy. 2 are invalid.",
	} {
		if _, said, _ := open(t, s, "/").told(t); !strings.HasSuffix(said, want) {
			t.Error(said)
		}
		s.Tenants[2].Pending = nil
	}
}

// A name that is no id could end the command and begin another.
func TestACommandNamesNoTenantThatIsNoID(t *testing.T) {
	s := pagetest.Single(12, pagetest.Stuck)
	for i := range s.Tenants {
		if s.Tenants[i].Pending != nil {
			s.Tenants[i].Tenant = "x; reboot"
		}
	}

	if _, said, command := open(t, s, "/").told(t); command != "" || !strings.HasPrefix(said, "1 rotation is stuck.") {
		t.Errorf("%s: %s", command, said)
	}
}

func TestAVerificationIsMissedOnceOneShouldHaveEnded(t *testing.T) {
	const week = 7 * 24 * time.Hour
	for name, test := range map[string]struct {
		change func(*status.Snapshot)
		off    bool
		missed bool
	}{
		"ended lately":         {func(*status.Snapshot) {}, false, false},
		"ended long ago":       {func(s *status.Snapshot) { s.Verified = s.Now.Add(-2 * week) }, false, true},
		"none since a start":   {func(s *status.Snapshot) { s.Verified, s.Began = time.Time{}, s.Now.Add(-2*week) }, false, true},
		"the start was lately": {func(s *status.Snapshot) { s.Verified, s.Began = time.Time{}, s.Now.Add(-time.Hour) }, false, false},
		"it is not known":      {func(s *status.Snapshot) { s.Verified, s.Began = time.Time{}, time.Time{} }, false, false},
		"there are none":       {func(s *status.Snapshot) { s.Verified = s.Now.Add(-2 * week) }, true, false},
		"one is under way": {func(s *status.Snapshot) {
			s.Verified, s.Runs[0] = s.Now.Add(-2*week), status.RunEntry{Task: "verification", Started: s.Now}
		}, false, false},
		"another is under way": {func(s *status.Snapshot) {
			s.Verified, s.Runs[0] = s.Now.Add(-2*week), status.RunEntry{Task: "sweep", Started: s.Now}
		}, false, true},
	} {
		s := pagetest.Healthy(12)
		test.change(&s)
		config := pagetest.Config(s)
		config.Settings = func() page.Settings {
			settings := pagetest.Settings()
			if test.off {
				settings.Verifications = rotator.Timetable{}
			}
			return settings
		}

		body := ask(t, config, "GET", "/").Body.String()

		if missed := strings.Contains(body, "A verification was missed."); missed != test.missed {
			t.Errorf("%s: missed is %t", name, missed)
		}
	}
}
