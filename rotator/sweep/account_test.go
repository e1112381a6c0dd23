package sweep_test

import (
	"cmp"
	"strings"
	"testing"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

const (
	saysDisabled = "the user is disabled in Mailu: nobody can log in"
	saysNoIMAP   = "IMAP is off for the user in Mailu: no mail can be read"
	saysDemand   = "Mailu asks for a new password at the next web login: rotate this tenant, which ends that"
)

var restrictions = map[string]rotator.Account{
	"":                               {},
	saysDisabled:                     {Disabled: true},
	saysNoIMAP:                       {NoIMAP: true},
	saysDemand:                       {ChangeAtLogin: true},
	saysDisabled + "; " + saysNoIMAP: {Disabled: true, NoIMAP: true},
}

func (f *fleet) restrict(n int, account rotator.Account) {
	f.mailu.Accounts = map[string]rotator.Account{userOf(n): account}
}

// mustHaveRemarked expects one event for a restricted account, and none otherwise.
func (f *fleet) mustHaveRemarked(t *testing.T, says string) {
	t.Helper()
	var said []string
	for _, e := range f.events {
		if e.Name == rotator.AccountRestricted {
			said = append(said, e.Err.Error())
		}
	}
	if strings.Join(said, "|") != says {
		t.Errorf("events say %q, want %q", said, says)
	}
}

func TestRotationTellsOfARestrictedAccount(t *testing.T) {
	for says, account := range restrictions {
		inFleet(t, func(t *testing.T, f *fleet) {
			f.add(serverA, 1)
			f.restrict(1, account)

			row := f.run(t, sweep.Selection{}).Rows[0]

			if says == saysDemand { // which the push has cleared
				says = ""
			}
			reason := cmp.Or(says, "due since 1999-05-27")
			if row.Outcome != rotator.Rotated || row.Reason != reason {
				t.Errorf("%s (%s), want %q", row.Outcome, row.Reason, reason)
			}
			f.mustHaveRemarked(t, says)
		})
	}
}

func TestFailedRotationTellsItsReasonAlone(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.restrict(1, rotator.Account{Disabled: true})
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpSetPassword {
				return rotatortest.Fault{Before: rotator.ErrRefused}
			}
			return rotatortest.Fault{}
		}

		row := f.run(t, sweep.Selection{}).Rows[0]

		if row.Outcome != rotator.Refused || strings.Contains(row.Reason, saysDisabled) {
			t.Errorf("%s (%s)", row.Outcome, row.Reason)
		}
	})
}

func TestVerificationTellsOfARestrictedAccount(t *testing.T) {
	for says, account := range restrictions {
		inFleet(t, func(t *testing.T, f *fleet) {
			f.sealed(t, 1, "a password")
			f.restrict(1, account)

			v := f.verify(t, false)

			if found := v.Findings[0]; found.State != rotator.StateOK || found.Reason != says || v.Problems() != 0 {
				t.Errorf("%s (%s), %d problems, want %q", found.State, found.Reason, v.Problems(), says)
			}
			f.mustHaveRemarked(t, says)
		})
	}
}

func TestRepairTellsOfARestrictedAccount(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "a password")
		f.mailu.AddUser(userOf(1), "set by hand")
		f.restrict(1, rotator.Account{Disabled: true})

		found := f.verify(t, true).Findings[0]

		if !found.Repaired || !strings.Contains(found.Reason, "pushed") || !strings.HasSuffix(found.Reason, "; "+saysDisabled) {
			t.Errorf("%+v", found)
		}
	})
}
