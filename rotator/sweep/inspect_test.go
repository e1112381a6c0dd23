package sweep_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

func TestAVerificationTellsOfEveryTenantAndOfItsProblems(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		for n := range 4 {
			f.sealed(t, n, "known")
		}
		f.mailu.AddUser(userOf(2), "by hand")

		f.verify(t, false)

		told, problems := f.told(rotator.TenantVerified), 0
		for _, e := range told {
			if e.Err != nil {
				problems++
			}
		}
		if len(told) != 4 || problems != 1 {
			t.Errorf("told of %d tenants and %d problems, want 4 and 1", len(told), problems)
		}
		if n := f.told(rotator.VerificationPlanned)[0].Count; n != 4 {
			t.Errorf("planned for %d tenants", n)
		}
		if n := f.told(rotator.VerificationFinished)[0].Count; n != 1 {
			t.Errorf("finished with %d problems", n)
		}
	})
}

func TestAVerificationLeavesASilentServerAlone(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		for n := range 40 {
			f.sealed(t, n, "known")
		}
		asked := 0
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpVerify {
				asked++
				return rotatortest.Fault{Before: rotatortest.ErrLost}
			}
			return rotatortest.Fault{}
		}

		v := f.verify(t, true)

		if n := v.Count(rotator.StateUnreachable); n != 40 || asked > 10 {
			t.Errorf("%d of 40 unreachable, %d questions", n, asked)
		}
	})
}

func TestAnInterruptedVerificationIsAnErrorAndNoFinding(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		ctx, interrupt := context.WithCancel(t.Context())
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpVerify {
				interrupt()
				return rotatortest.Fault{Before: rotatortest.ErrLost}
			}
			return rotatortest.Fault{}
		}

		_, err := f.sweep.Verify(ctx, sweep.Selection{}, true)

		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if told := f.told(rotator.TenantVerified); len(told) > 0 {
			t.Errorf("told of a tenant: %+v", told)
		}
	})
}

func TestARotationThatEndedDuringTheVerificationIsNoDrift(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpVerify {
				f.fault = nil
				f.setCurrent(t, 1, "newer")
				f.mailu.AddUser(userOf(1), "newer")
			}
			return rotatortest.Fault{}
		}

		v := f.verify(t, true)

		if got := v.Findings[0]; got.State != rotator.StateOK || got.Repaired || f.mailu.Sets() != 0 {
			t.Errorf("%s, repaired %t: %s", got.State, got.Repaired, got.Reason)
		}
	})
}

func TestAHalfFinishedRotationIsPendingWhereMailuIsNotAsked(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.leave(t, 1, "a dead process", f.began)
		f.mailu.Unverified = true

		v := f.verify(t, false)

		if got := v.Findings[0]; got.State != rotator.StatePending || !got.Problem() {
			t.Errorf("%s, problem %t", got.State, got.Problem())
		}
	})
}

func TestTenantsThatShareAUserAreNotRepaired(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "first")
		f.sealed(t, 2, "second")
		f.store.Edit(string(tenant(2)), func(fields map[string]any) { fields["username"] = strings.ToUpper(userOf(1)) })
		f.mailu.AddUser(userOf(1), "by hand")
		f.mailu.AddUser(strings.ToUpper(userOf(1)), "by hand")
		writes := f.store.Writes()

		v := f.verify(t, true)

		for _, got := range v.Findings {
			if got.State != rotator.StateDrift || !strings.Contains(got.Reason, "2 tenants name the user") {
				t.Errorf("%s: %s", got.State, got.Reason)
			}
		}
		if f.store.Writes() != writes || f.mailu.Sets() != 0 {
			t.Error("something was changed")
		}
	})
}

func TestARollbackThatWasBegunEndsInARow(t *testing.T) {
	tests := []struct {
		name    string
		arrange func(*testing.T, *fleet)
		want    rotator.Outcome
	}{
		{"refused", func(_ *testing.T, f *fleet) {
			f.fault = rotatortest.On(rotatortest.OpSetPassword, rotatortest.Fault{Before: rotator.ErrRefused})
		}, rotator.Refused},
		{"without an answer", func(_ *testing.T, f *fleet) {
			f.fault = rotatortest.On(rotatortest.OpVerify, rotatortest.Fault{Before: rotatortest.ErrLost})
		}, rotator.Unfinished},
		{"another process is at it", func(t *testing.T, f *fleet) {
			f.leave(t, 1, "another process", f.began.Add(time.Hour))
		}, rotator.Claimed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.sealed(t, 1, "first")
				f.setCurrent(t, 1, "second")
				f.mailu.AddUser(userOf(1), "second")
				test.arrange(t, f)

				row, err := f.sweep.Rollback(t.Context(), string(tenant(1)), 0)

				if err != nil || row.Outcome != test.want || !row.Outcome.Failure() || row.Reason == "" {
					t.Errorf("%s (%s): %v; want %s", row.Outcome, row.Reason, err, test.want)
				}
			})
		})
	}
}
