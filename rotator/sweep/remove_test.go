package sweep_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// remover deletes from the store, after what a test has in mind.
type remover struct {
	store  *rotatortest.Store
	before func() error
	asked  int
}

func (r *remover) MayRemove(context.Context, rotator.TenantID) error { return nil }

func (r *remover) Remove(_ context.Context, tenant rotator.TenantID) error {
	r.asked++
	if r.before != nil {
		if err := r.before(); err != nil {
			return err
		}
	}
	r.store.Forget(string(tenant))
	return nil
}

func mustBeRemovable(t *testing.T, f *fleet, name string) sweep.Removal {
	t.Helper()
	removal, err := f.sweep.Removable(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return removal
}

// A deletion is not check-and-set: what a run does right before it must not be lost.
func TestATenantLeavesTheFleetBeforeItIsRemoved(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.store.Edit(string(tenant(1)), func(r map[string]any) { r["note"] = "somebody's" })
		removal := mustBeRemovable(t, f, userOf(1))
		if removal.Tenant != tenant(1) || removal.User != userOf(1) || removal.Origin != serverA || removal.Remark != "" {
			t.Errorf("got %+v", removal)
		}
		var report sweep.Report
		from := &remover{store: f.store, before: func() (err error) {
			if left, _ := f.store.Get(string(tenant(1))); left["note"] != "somebody's" || left["password"] != nil {
				t.Errorf("withdrawn is %v", left)
			}
			report, err = f.process(t, "another process").Run(t.Context(), sweep.Selection{All: true}, 0)
			return err
		}}

		if err := f.sweep.Remove(t.Context(), from, removal); err != nil {
			t.Fatal(err)
		}

		if report.Count(rotator.Ignored) != 1 || report.Count(rotator.Rotated) != 1 {
			t.Errorf("the run beside it: %+v", report.Rows)
		}
		if f.mailu.Password(userOf(1)) != "old password" {
			t.Error("mailu has another password")
		}
	})
}

func TestARunThatHasReadARemovedTenantPushesNothing(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		removal := mustBeRemovable(t, f, string(tenant(1)))
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpKnows { // the run has read the record, and prepares next
				f.fault = nil
				if err := f.sweep.Remove(t.Context(), &remover{store: f.store}, removal); err != nil {
					t.Error(err)
				}
			}
			return rotatortest.Fault{}
		}

		_, err := f.process(t, "another process").Run(t.Context(), sweep.Selection{All: true}, 0)

		if err != nil || f.mailu.Password(userOf(1)) != "old password" || len(f.of(rotatortest.OpSetPassword)) != 0 {
			t.Errorf("%v, pushes %v", err, f.of(rotatortest.OpSetPassword))
		}
	})
}

func TestARecordThatHasChangedIsNotRemoved(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		removal := mustBeRemovable(t, f, string(tenant(1)))
		if _, err := f.process(t, "another process").Run(t.Context(), sweep.Selection{All: true}, 0); err != nil {
			t.Fatal(err)
		}
		from := &remover{store: f.store}

		err := f.sweep.Remove(t.Context(), from, removal)

		if !errors.Is(err, rotator.ErrConflict) || from.asked != 0 {
			t.Errorf("got %v, %d deletions", err, from.asked)
		}
	})
}

func TestARemovalIsFinishedByTheSameCommand(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		// The answer of the first write is lost, and its retry meets the write itself.
		f.fault = rotatortest.On(rotatortest.OpWrite, rotatortest.Fault{After: rotator.ErrConflict})
		from := &remover{store: f.store, before: func() error { return rotator.ErrUnavailable }}

		err := f.sweep.Remove(t.Context(), from, mustBeRemovable(t, f, string(tenant(1))))

		if !errors.Is(err, rotator.ErrUnavailable) || !strings.Contains(err.Error(), "run the same command again") {
			t.Fatalf("got %v", err)
		}
		from.before = nil
		removal := mustBeRemovable(t, f, string(tenant(1)))
		if !strings.Contains(removal.Remark, "its removal has not ended") || removal.User != "" {
			t.Errorf("got %+v", removal)
		}
		if err := f.sweep.Remove(t.Context(), from, removal); err != nil || from.asked != 2 {
			t.Errorf("got %v, %d deletions", err, from.asked)
		}
		if _, err := f.sweep.Removable(t.Context(), string(tenant(1))); !errors.Is(err, rotator.ErrAbsent) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAPendingPasswordStandsAgainstARemoval(t *testing.T) {
	for name, test := range map[string]struct {
		change func(map[string]any)
		want   string
	}{
		"half-finished": {func(r map[string]any) { r["pending"] = pendingOf("dead", noon) }, "finish it first with mailu-rotator --run-now"},
		"malformed":     {func(r map[string]any) { r["pending"] = "?" }, "finish it first with mailu-rotator --run-now"},
		"half-added":    {func(r map[string]any) { r["pending"] = pendingOf("dead", noon); delete(r, "password") }, "run the same tenant add again"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			f.add(serverA, 1)
			f.store.Edit(string(tenant(1)), test.change)

			if _, err := f.sweep.Removable(t.Context(), string(tenant(1))); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
