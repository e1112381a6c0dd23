package sweep_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// previews is a dry run of additions that asks Mailu.
func (f *fleet) previews(t *testing.T, ctx context.Context, additions ...sweep.Addition) sweep.Report {
	t.Helper()
	report, err := dry(f.sweep).Add(ctx, f.registry(), additions, true)
	if err != nil {
		t.Fatal(err)
	}
	if f.store.Writes() != 0 || len(f.of(rotatortest.OpSetPassword))+len(f.of(rotatortest.OpCreateUser)) != 0 {
		t.Error("the dry run changed something")
	}
	return report
}

func TestADryRunOfAnAdditionSaysWhatMailuSays(t *testing.T) {
	refused := fmt.Errorf("status 400: Invalid email: %w", rotator.ErrRefused)
	known := func(f *fleet) { f.mailu.AddUser(userOf(7), "old password") }
	tests := []struct {
		name    string
		arrange func(*fleet)
		want    rotator.Outcome
		user    rotator.UserPlan
		reason  string
	}{
		{"known", known, rotator.Planned, rotator.UserToBeTakenOver, "to be added; its user in Mailu is taken over, and its password is replaced"},
		{"unknown", func(*fleet) {}, rotator.Planned, rotator.UserToBeCreated, "to be added; its user in Mailu is created"},
		{"no domain", func(f *fleet) { f.mailu.NoDomain = "7.example" }, rotator.Failed, "", "no domain 7.example: refused by Mailu"},
		{"an address that Mailu refuses", func(f *fleet) { f.fault = failing(refused, 7) }, rotator.Failed, "", refused.Error()},
		{"no answer", func(f *fleet) { f.fault = failing(rotatortest.ErrLost, 7) }, rotator.Failed, "", rotatortest.ErrLost.Error()},
		{"disabled", func(f *fleet) {
			known(f)
			f.mailu.Accounts = map[string]rotator.Account{userOf(7): {Disabled: true, NoIMAP: true, ChangeAtLogin: true}}
		}, rotator.Planned, rotator.UserToBeTakenOver, "to be added; its user in Mailu is taken over, and its password is replaced; the user is disabled in Mailu: nobody can log in; IMAP is off for the user in Mailu: no mail can be read"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1)
				test.arrange(f)

				report := f.previews(t, t.Context(), asking(7))

				if row := report.Rows[0]; row.Outcome != test.want || row.UserPlan != test.user || row.Reason != test.reason || !report.DryRun {
					t.Errorf("got %s, %q: %s", row.Outcome, row.UserPlan, row.Reason)
				}
			})
		})
	}
}

func TestADryRunOfAHalfFinishedAdditionAsksMailuToo(t *testing.T) {
	tests := []struct {
		name   string
		user   bool
		plan   rotator.UserPlan
		reason string
	}{
		{"known", true, rotator.UserToBeResumed, "half-finished addition by this process; Mailu has its user"},
		{"unknown", false, rotator.UserToBeCreated, "half-finished addition by this process; its user in Mailu is created"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				refused := rotatortest.Fault{Before: fmt.Errorf("no: %w", rotator.ErrRefused)}
				f.fault = rotatortest.On(rotatortest.OpCreateUser, refused)
				f.adds(t, asking(1))
				f.fault = nil
				if test.user {
					f.mailu.AddUser(userOf(1), "by hand")
				}

				report, err := dry(f.sweep).Add(t.Context(), f.registry(), []sweep.Addition{asking(1)}, false)

				if err != nil || report.Rows[0].Outcome != rotator.Planned || report.Rows[0].UserPlan != test.plan || report.Rows[0].Reason != test.reason {
					t.Errorf("got %+v, %v", report.Rows, err)
				}
			})
		})
	}
}

func TestADryRunAsksOnlyAboutUsersToBeAdded(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)

		report := f.previews(t, t.Context(), asking(1), asking(7, func(a *sweep.Addition) { a.Username = userOf(2) }))

		mustEnd(t, report, "1 fresh, 7 invalid")
		if asked := f.of(rotatortest.OpKnows); len(asked) != 0 {
			t.Errorf("asked %v", asked)
		}
	})
}

func TestADryRunLeavesAServerAloneThatFails(t *testing.T) {
	tests := []struct {
		name  string
		err   error
		asked int
		want  string
	}{
		{"its token is wrong", fmt.Errorf("403: %w: %w", rotator.ErrServerUnusable, rotator.ErrRefused), 1, "1 failed, 2 blocked, 3 blocked, 4 blocked, 5 planned"},
		{"it asks for a pause", &rotator.RateLimitedError{After: time.Hour, Err: rotatortest.ErrLost}, 1, "1 failed, 2 blocked, 3 blocked, 4 blocked, 5 planned"},
		{"it is silent", rotatortest.ErrLost, 3, "1 failed, 2 failed, 3 failed, 4 blocked, 5 planned"},
		{"it refuses users", fmt.Errorf("400: %w", rotator.ErrRefused), 4, "1 failed, 2 failed, 3 failed, 4 failed, 5 planned"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.mailu.Width = 1
				f.fault = failing(test.err, 1, 2, 3, 4)

				report := f.previews(t, t.Context(), asking(1), asking(2), asking(3), asking(4), asking(5, atB))

				mustEnd(t, report, test.want)
				if asked := f.of(rotatortest.OpKnows, 1, 2, 3, 4); len(asked) != test.asked {
					t.Errorf("asked %d times", len(asked))
				}
				if row := report.Rows[3]; row.Outcome == rotator.Blocked && row.Reason != "not asked, since its server fails: "+test.err.Error() {
					t.Errorf("reason %q", row.Reason)
				}
			})
		})
	}
}

func TestAnAnswerInBetweenKeepsADryRunAsking(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.mailu.Width = 1
		f.fault = failing(rotatortest.ErrLost, 1, 2, 4, 5)

		mustEnd(t, f.previews(t, t.Context(), asking(1), asking(2), asking(3), asking(4), asking(5), asking(6)),
			"1 failed, 2 failed, 3 planned, 4 failed, 5 failed, 6 planned")
	})
}

func TestADryRunAsksAServerAsMuchAsItMayBeAsked(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.mailu.Width = 2
		f.fault = slowCall(rotatortest.OpKnows, time.Second)
		for n := range 4 {
			f.mailu.AddUser(userOf(n+1), "old password")
		}

		f.previews(t, t.Context(), asking(1), asking(2), asking(3), asking(4))

		asked := f.of(rotatortest.OpKnows)
		if len(asked) != 4 || asked[1].at != asked[0].at || asked[2].at != asked[0].at+time.Second || asked[3].at != asked[2].at {
			t.Errorf("asked %v", asked)
		}
	})
}

func TestAnInterruptedDryRunSaysWhomItDidNotAskAbout(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.mailu.Width = 1
		ctx, cancel := context.WithCancel(t.Context())
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op != rotatortest.OpKnows {
				return rotatortest.Fault{}
			}
			cancel()
			return rotatortest.Fault{Before: ctx.Err()}
		}

		report := f.previews(t, ctx, asking(1), asking(2))

		mustEnd(t, report, "1 deferred, 2 deferred")
		if asked := f.of(rotatortest.OpKnows); len(asked) != 1 || !strings.Contains(report.Rows[1].Reason, "interrupted") {
			t.Errorf("asked %d times; %q", len(asked), report.Rows[1].Reason)
		}
	})
}
