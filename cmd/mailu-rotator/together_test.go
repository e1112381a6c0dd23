package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailu-rotator/test/faultproxy"
)

// TestTwoDaemonsAndAnEmergencyRunAtOnce: all process the same tenants all the time.
// After the emergency run each tenant has exactly one password created since its start,
// and no tenant was locked out in between.
func TestTwoDaemonsAndAnEmergencyRunAtOnce(t *testing.T) {
	s := newTestSite(t)
	_, err := s.startMailu("two")
	must(t, err)
	for i := range 20 {
		settings := []string{[]string{"mailu=one", "mailu=two"}[i%2], "age=400"}
		if i%5 == 0 {
			settings = append(settings, "pending=dead")
		}
		s.mustSeed(t, fmt.Sprintf("tenant%02d", i), settings...)
	}
	must(t, s.writeConfig(everySecond, noJitter))

	daemons := []*program{s.start(t), s.start(t)}
	run := s.start(t, "--run-now", "--output", "json")
	await(t, "the end of the run", func() error {
		for _, who := range s.tenants {
			must(t, s.reachable(t.Context(), who))
		}
		select {
		case <-run.ended:
			return nil
		default:
			return fmt.Errorf("still running")
		}
	})
	run.mustEnd(t, exitDone)
	for _, daemon := range daemons {
		daemon.stop(t)
	}

	var report struct {
		RotatedBefore time.Time `json:"rotated_before"`
	}
	must(t, json.Unmarshal([]byte(run.stdout.String()), &report))
	for _, who := range s.tenants {
		s.mustHaveOnePasswordSince(t, who, report.RotatedBefore)
	}
}

// TestEmergencyRunRotatesWhatAnotherFinishedMeanwhile: the run is about to take over a
// half-finished rotation when another process finishes it. That password is older than
// the emergency, so the run must rotate again.
func TestEmergencyRunRotatesWhatAnotherFinishedMeanwhile(t *testing.T) {
	s := newTestSite(t)
	half := s.mustSeed(t, "half", "age=1", "pending=dead")
	direct := s.address
	proxy := s.interpose(t)
	path := "/v1/" + s.layout().Mount + "/data/" + s.layout().Path(half.id)
	proxy.Inject(faultproxy.Fault{Kind: faultproxy.Status, Match: faultproxy.On(http.MethodPut, path)})
	must(t, s.writeConfig())

	run := s.start(t, "--run-now")
	await(t, "the take-over", func() error {
		if proxy.Count(http.MethodPut, path) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	s.address = direct
	must(t, s.writeConfig())
	s.start(t, "--run-now", "--due-only").mustEnd(t, exitDone)
	must(t, s.finished(t.Context(), half))
	proxy.Clear()
	run.mustEnd(t, exitDone)

	must(t, s.rotated(t.Context(), half))
}

func (s *site) mustHaveOnePasswordSince(t *testing.T, who *tenant, cutoff time.Time) {
	t.Helper()
	newest, err := s.settled(t.Context(), who)
	must(t, err)
	since := map[string]bool{}
	for n := who.version; n <= newest.version; n++ {
		h, err := s.read(t.Context(), who, n)
		must(t, err)
		made, err := time.Parse(time.RFC3339, h.lastRotated)
		must(t, err)
		if !made.Before(cutoff.Truncate(time.Millisecond)) {
			since[h.current] = true
		}
	}
	if len(since) != 1 {
		t.Errorf("%s got %d passwords since the emergency run began, want 1", who.name, len(since))
	}
}

// Two imports name the same users under their own ids: each user has one tenant, and
// one of the two reports names the tenant that has the user.
func TestTwoImportsOfOneUserUnderTwoIDs(t *testing.T) {
	const users = 8
	s := newTestSite(t)
	s.mustAllowAdding(t)
	one := s.mailus[0]
	var imports [2]*program
	for n := range imports {
		lines := "tenant,user,webmail_url\n"
		for u := range users {
			user := fmt.Sprintf("u%d@new.example", u)
			one.AddUser(user, "set by hand")
			// For half of the users the first import has the smaller id.
			lines += fmt.Sprintf("3333333%d-5eed-4000-8000-%012d,%s,%s\n", (n+u)%2, u, user, one.Origin())
		}
		must(t, os.WriteFile(filepath.Join(s.dir, fmt.Sprintf("import%d.csv", n)), []byte(lines), 0o600))
	}

	for n := range imports {
		imports[n] = s.start(t, "tenant", "import", "--first", "--output", "json", filepath.Join(s.dir, fmt.Sprintf("import%d.csv", n)))
	}
	rows := map[string][]string{}
	for _, p := range imports {
		<-p.ended
		for user, said := range p.mustReport(t) {
			rows[user] = append(rows[user], said)
		}
	}
	s.start(t, "status").mustEnd(t, exitDone) // and no tenant is invalid

	for u := range users {
		user := fmt.Sprintf("u%d@new.example", u)
		said := strings.Join(rows[user], " / ")
		if strings.Count(said, "added") != 1 || strings.Count(said, "invalid withdrawn: tenant ")+strings.Count(said, " already") != 1 {
			t.Errorf("%s: the imports say %s", user, said)
		}
		var whole []string
		for n := range 2 {
			who := &tenant{name: user, id: fmt.Sprintf("3333333%d-5eed-4000-8000-%012d", n, u), user: user, mailu: one, version: 1}
			if held, err := s.read(t.Context(), who, 0); err == nil && held.current != "" && held.pending == "" && one.Accepts(user, held.current) {
				whole = append(whole, who.id)
			}
		}
		if len(whole) != 1 || one.PasswordSets(user) != 1 {
			t.Errorf("%s: tenants %v, pushed %d times", user, whole, one.PasswordSets(user))
		}
	}
	s.start(t, "--run-now", "--due-only").mustEnd(t, exitDone)
}

// mustReport returns the outcome and the reason of each user in a JSON report.
func (p *program) mustReport(t *testing.T) map[string]string {
	t.Helper()
	var report struct {
		Tenants []struct{ User, Outcome, Reason string } `json:"tenants"`
	}
	if err := json.Unmarshal([]byte(p.stdout.String()), &report); err != nil {
		t.Fatalf("%v: %s\n%s", err, p.stdout.String(), p.stderr.String())
	}
	said := map[string]string{}
	for _, row := range report.Tenants {
		said[row.User] = row.Outcome + " " + row.Reason
	}
	return said
}
