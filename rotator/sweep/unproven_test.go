package sweep_test

import (
	"errors"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
)

// foreignHash makes Mailu show a hash of another kind until a password is set.
func (f *fleet) foreignHash() {
	f.fault = func(c rotatortest.Call) rotatortest.Fault {
		if c.Op == rotatortest.OpVerify && f.mailu.Sets() == 0 {
			return rotatortest.Fault{Before: rotator.ErrUnverifiable}
		}
		return rotatortest.Fault{}
	}
}

func TestAHashOfAnotherKindProvesNothing(t *testing.T) {
	tests := []struct {
		name    string
		arrange func(*testing.T, *fleet)
		state   rotator.State
		problem bool
		after   string // a repair
	}{
		{"one version", func(_ *testing.T, f *fleet) {
			fields, _ := f.store.Get(string(tenant(1)))
			f.store = &rotatortest.Store{Clock: rotator.SystemClock{}, Hook: f.hook}
			f.store.Put(string(tenant(1)), fields)
			f.sweep = f.process(t, "this process")
		}, rotator.StateUnproven, true, "known"},
		{"several versions", func(t *testing.T, f *fleet) {
			f.setCurrent(t, 1, "former")
			f.setCurrent(t, 1, "known")
		}, rotator.StateUnproven, true, "known"},
		{"half-finished", func(t *testing.T, f *fleet) { f.leave(t, 1, "a dead process", f.began) }, rotator.StatePending, true, "pending password"},
		{"under way", func(t *testing.T, f *fleet) { f.leave(t, 1, "another process", f.began.Add(time.Hour)) }, rotator.StatePending, false, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.sealed(t, 1, "known")
				test.arrange(t, f)
				f.mailu.AddUser(userOf(1), "of another scheme")
				f.foreignHash()

				v := f.verify(t, false)

				if got := v.Findings[0]; got.State != test.state || got.Problem() != test.problem || (v.Problems() == 1) != test.problem {
					t.Errorf("%s, problem %t: %s", got.State, got.Problem(), got.Reason)
				}
				if f.mailu.Sets() != 0 {
					t.Error("a verification pushed")
				}
				if v = f.verify(t, true); test.after == "" {
					mustFind(t, v, rotator.StatePending, false, "under way")
					return
				}
				mustFind(t, v, rotator.StateOK, true, "")
				f.mustAgree(t, 1, test.after)
			})
		})
	}
}

func TestADeletedRecordIsNotBroughtBackByAHashOfAnotherKind(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.edit(1, func(map[string]any) {})
		f.store.Delete(string(tenant(1)))
		f.foreignHash()

		mustFind(t, f.verify(t, true), rotator.StateUnreadable, false, "not repaired: no earlier version of the record holds it as far as can be told: ")

		if f.mailu.Sets() != 0 || f.store.Writes() != 0 {
			t.Error("something was changed")
		}
	})
}

// Mailu cannot be asked about a password from the history if the user is gone: the
// message says that, and not that the history lacks it.
func TestADeletedRecordWhoseUserIsGoneSaysSo(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.edit(1, func(map[string]any) {})
		f.store.Delete(string(tenant(1)))
		f.fault = rotatortest.On(rotatortest.OpVerify, rotatortest.Fault{Before: errors.Join(rotator.ErrUnknownUser, rotator.ErrUnverifiable)})

		mustFind(t, f.verify(t, true), rotator.StateUnreadable, false, "not repaired: ask about version ")
	})
}

func TestATenantWhoseUserIsGoneIsNotUnproven(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.fault = rotatortest.On(rotatortest.OpVerify, rotatortest.Fault{Before: errors.Join(rotator.ErrUnknownUser, rotator.ErrUnverifiable)})

		mustFind(t, f.verify(t, true), rotator.StateUnknownUser, false, "")
	})
}
