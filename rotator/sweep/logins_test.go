package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// mailServices are those of a fleet's servers. They record the users that log in, and
// answer as the test says.
type mailServices struct {
	mu     sync.Mutex
	users  []string
	wrong  []string // users whose password was not the one in Mailu
	answer func(user string) error
}

func (f *fleet) mailServices(origins ...rotator.Origin) *mailServices {
	m := &mailServices{}
	f.mailu.Logins = map[rotator.Origin]rotatortest.LoginFunc{}
	for _, origin := range origins {
		f.mailu.Logins[origin] = m.login
	}
	return m
}

func (m *mailServices) login(user string, accepted bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.users = append(m.users, user)
	if !accepted {
		m.wrong = append(m.wrong, user)
	}
	if m.answer != nil {
		return m.answer(user)
	}
	return nil
}

func (m *mailServices) refuse(string) error {
	return fmt.Errorf("535 5.7.8: %w", rotator.ErrLoginRefused)
}

func (m *mailServices) breakOff(string) error { return errors.New("the certificate has expired") }

// logins returns the events of logins, by name.
func (f *fleet) logins() (names []rotator.EventName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if e.Name.Login() != "" {
			names = append(names, e.Name)
		}
	}
	return names
}

func (f *fleet) runAll(t *testing.T) sweep.Report {
	t.Helper()
	report, err := f.sweep.Run(t.Context(), sweep.Selection{All: true}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestTheCanaryLogsIn(t *testing.T) {
	for name, canary := range map[string]bool{"with a canary": true, "without one": false} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1, 2, 3, 4)
				f.add(serverB, 5)
				mail := f.mailServices(serverA)
				f.sweep.Canary = canary

				report := f.runAll(t)

				var tried []rotator.LoginState
				for _, row := range report.Rows {
					if row.Login != "" {
						tried = append(tried, row.Login)
					}
				}
				if !slices.Equal(tried, []rotator.LoginState{rotator.LoginAccepted}) || len(mail.users) != 1 || len(mail.wrong) != 0 {
					t.Errorf("%v by %v, of them %v with another password; want one login at the server that has a mail service", tried, mail.users, mail.wrong)
				}
				if canary && mail.users[0] != userOf(1) {
					t.Errorf("%s logged in, which is not the canary", mail.users[0])
				}
			})
		})
	}
}

// The password is right: nothing is undone, the others go on, and one login is enough.
func TestAFailedLoginStopsNothing(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(*mailServices) func(string) error
		state  rotator.LoginState
		event  rotator.EventName
	}{
		"refused":      {func(m *mailServices) func(string) error { return m.refuse }, rotator.LoginRefused, rotator.LoginWasRefused},
		"not possible": {func(m *mailServices) func(string) error { return m.breakOff }, rotator.LoginNotPossible, rotator.LoginWasNotPossible},
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1, 2, 3)
				mail := f.mailServices(serverA)
				mail.answer = test.answer(mail)

				report := f.runAll(t)

				if report.Count(rotator.Rotated) != 3 || report.Failures() != 0 || report.FailedLogins() != 1 || f.mailu.Sets() != 3 {
					t.Errorf("%+v after %d pushes", report.Rows, f.mailu.Sets())
				}
				row := report.Rows[0]
				if row.Login != test.state || !strings.HasPrefix(row.Reason, "login "+string(test.state)+": ") {
					t.Errorf("the canary's row is %+v", row)
				}
				if got := f.logins(); !slices.Equal(got, []rotator.EventName{test.event}) {
					t.Errorf("events %q", got)
				}
			})
		})
	}
}

// A disabled user would be refused, which Mailu counts.
func TestADisabledUserDoesNotLogIn(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		mail := f.mailServices(serverA)
		f.mailu.Accounts = map[string]rotator.Account{userOf(1): {Disabled: true}}

		f.runAll(t)

		if !slices.Equal(mail.users, []string{userOf(2)}) {
			t.Errorf("%v logged in, want the first that is enabled", mail.users)
		}
	})
}

func TestAPasswordThatIsNotProvenDoesNotLogIn(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		mail := f.mailServices(serverA)
		f.mailu.Unverified = true

		report := f.runAll(t)
		f.verify(t, false)

		if report.Count(rotator.Rotated) != 1 || len(mail.users) != 0 {
			t.Errorf("%v logged in", mail.users)
		}
	})
}

// rotated has that many tenants whose passwords are proven, on server A.
func rotated(t *testing.T, f *fleet, tenants int) {
	t.Helper()
	for n := range tenants {
		f.add(serverA, n+1)
	}
	f.runAll(t)
	f.mu.Lock()
	f.events = nil
	f.mu.Unlock()
}

func TestAVerificationLogsInWithASample(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		rotated(t, f, 12)
		mail := f.mailServices(serverA)
		tried := map[string]bool{}
		for day := range 3 {
			before := len(mail.users)

			v := f.verify(t, false)

			if v.Problems() != 0 || len(mail.users)-before != 5 || len(mail.wrong) != 0 {
				t.Errorf("day %d: %d problems, logins of %v", day, v.Problems(), mail.users[before:])
			}
			for _, user := range mail.users[before:] {
				tried[user] = true
			}
			time.Sleep(24 * time.Hour)
		}
		if len(tried) != 12 {
			t.Errorf("in three days %d of 12 tenants logged in", len(tried))
		}
	})
}

func TestAVerificationOfFewLogsInWithAll(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		rotated(t, f, 12)
		mail := f.mailServices(serverA)

		_, err := f.sweep.Verify(t.Context(), sweep.Selection{Tenants: []rotator.TenantID{tenant(7), tenant(2)}}, false)

		slices.Sort(mail.users)
		if err != nil || !slices.Equal(mail.users, []string{userOf(2), userOf(7)}) {
			t.Errorf("%v logged in, error %v", mail.users, err)
		}
	})
}

func TestAFailedLoginIsAStateOfItsOwn(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(*mailServices) func(string) error
		state  rotator.State
	}{
		"refused":      {func(m *mailServices) func(string) error { return m.refuse }, rotator.StateLoginRefused},
		"not possible": {func(m *mailServices) func(string) error { return m.breakOff }, rotator.StateLoginNotPossible},
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				rotated(t, f, 12)
				pushes := f.mailu.Sets()
				mail := f.mailServices(serverA)
				mail.answer = test.answer(mail)

				v := f.verify(t, true)

				if v.Count(test.state) != 1 || v.Count(rotator.StateOK) != 11 || v.Problems() != 1 || len(mail.users) != 1 {
					t.Errorf("%+v after logins of %v; want one, and no other after it", v.Findings, mail.users)
				}
				if f.mailu.Sets() != pushes {
					t.Errorf("%d passwords were pushed because of a login", f.mailu.Sets()-pushes)
				}
			})
		})
	}
}

// Then it is no finding about the password that was tried.
func TestARefusalOfAPasswordThatWasChanged(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		rotated(t, f, 1)
		mail := f.mailServices(serverA)
		mail.answer = func(user string) error {
			f.mailu.AddUser(user, "changed by somebody")
			return mail.refuse(user)
		}

		f.verify(t, false)

		if got := f.logins(); len(got) != 0 {
			t.Errorf("events %q", got)
		}
	})
}

// What fails because the program is stopped says nothing about the server.
func TestALoginThatIsCutOffIsNotReported(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		mail := f.mailServices(serverA)
		ctx, stop := context.WithCancel(t.Context())
		mail.answer = func(user string) error {
			stop()
			time.Sleep(f.sweep.Grace + time.Second)
			return mail.breakOff(user)
		}

		report, err := f.sweep.Run(ctx, sweep.Selection{All: true}, 0)

		if err != nil || report.Count(rotator.Rotated) != 1 || report.FailedLogins() != 0 || len(f.logins()) != 0 || len(mail.users) != 1 {
			t.Errorf("%v; %+v; events %q after %d logins", err, report.Rows, f.logins(), len(mail.users))
		}
	})
}

func TestADriftedPasswordDoesNotLogIn(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		rotated(t, f, 1)
		mail := f.mailServices(serverA)
		f.mailu.AddUser(userOf(1), "changed by somebody")

		if v := f.verify(t, false); v.Count(rotator.StateDrift) != 1 || len(mail.users) != 0 {
			t.Errorf("%+v after logins of %v", v.Findings, mail.users)
		}
	})
}

// Each batch has a queue of its own, and a run one login at each server.
func TestOnlyTheFirstBatchOfAServerLogsIn(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3, 4)
		mail := f.mailServices(serverA)
		mail.answer = mail.refuse
		b := newBench(t, f, sweep.Selection{All: true})
		all := b.batch.Assignments
		for _, part := range [][]sweep.Assignment{all[:2], all[2:]} {
			b.batch.Assignments = part
			if err := b.work(t.Context()); err != nil {
				t.Fatal(err)
			}
		}

		if got := b.results[tenant(1)]; got.Login != rotator.LoginRefused || got.Outcome != rotator.Rotated || !strings.Contains(got.Reason, "535") {
			t.Errorf("the first: %+v", got)
		}
		if len(mail.users) != 1 {
			t.Errorf("%v logged in, want one", mail.users)
		}
	})
}

// The planner's report has what a worker found.
func TestAWorkersLoginIsReported(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.sweep.Engine = &script{results: []sweep.Settled{{
			Tenant: tenant(1), Origin: serverA, LastRotated: "2026-11-23T12:00:00Z", Outcome: rotator.Rotated, Reason: "login refused: 535", Login: rotator.LoginRefused,
		}}}

		report := f.runAll(t)

		if report.FailedLogins() != 1 || report.Failures() != 0 || !strings.Contains(report.Rows[0].Reason, "login refused") {
			t.Errorf("%+v", report.Rows)
		}
	})
}
