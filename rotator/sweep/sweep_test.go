package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

func TestWhatARotationCosts(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)

		f.run(t, sweep.Selection{})

		want := map[rotatortest.Op]int{
			rotatortest.OpList: 1, rotatortest.OpRead: 1, rotatortest.OpWrite: 2, rotatortest.OpKeys: 1,
			rotatortest.OpKnows: 1, rotatortest.OpSetPassword: 1, rotatortest.OpVerify: 1,
		}
		for op, n := range want {
			if got := len(f.of(op)); got != n {
				t.Errorf("%s: %d calls, want %d", op, got, n)
			}
		}
	})
}

func TestAQuietSweepReadsAndDoesNothingElse(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 390, 391)

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "390 fresh, 391 fresh")
		if len(f.calls) != len(f.of(rotatortest.OpKeys))+len(f.of(rotatortest.OpList))+len(f.of(rotatortest.OpRead)) {
			t.Errorf("got %v", f.calls)
		}
	})
}

func TestADryRunWritesNothing(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 390)
		f.add(serverB, 2)
		f.leave(t, 2, "a dead process", f.began)

		report, err := dry(f.sweep).Run(t.Context(), sweep.Selection{}, 0)

		if err != nil || !report.DryRun {
			t.Fatalf("got %v, a dry run is %t", err, report.DryRun)
		}
		mustEnd(t, report, "2 planned, 1 planned, 390 fresh")
		if len(f.calls) != len(f.of(rotatortest.OpKeys))+len(f.of(rotatortest.OpList))+len(f.of(rotatortest.OpRead)) {
			t.Errorf("got %v", f.calls)
		}
	})
}

func TestRunsThatCannotTakePlace(t *testing.T) {
	tests := []struct {
		name  string
		op    rotatortest.Op
		words string
	}{
		{"master key missing", rotatortest.OpKeys, "connection reset"},
		{"list refused", rotatortest.OpList, "list tenants: connection reset"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1)
				f.fault = func(c rotatortest.Call) rotatortest.Fault {
					if c.Op == test.op {
						return rotatortest.Fault{Before: rotatortest.ErrLost}
					}
					return rotatortest.Fault{}
				}

				_, err := f.sweep.Run(t.Context(), sweep.Selection{}, 0)

				if err == nil || !strings.Contains(err.Error(), test.words) || len(f.of(rotatortest.OpWrite)) != 0 || len(f.of(rotatortest.OpKnows)) != 0 {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

func TestAnEmptyListIsNeverAFleetWithoutTenants(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		_, err := f.sweep.Run(t.Context(), sweep.Selection{}, 0)

		if !errors.Is(err, rotator.ErrNoTenants) {
			t.Errorf("got %v", err)
		}
	})
}

func TestARunThatIsForNobodyDoesNotTakePlace(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)

		_, err := f.sweep.Run(t.Context(), sweep.Selection{All: true, Origins: []rotator.Origin{serverB}}, 0)

		if err == nil || f.store.Writes() != 0 {
			t.Errorf("got %v", err)
		}
	})
}

func TestWhatCannotBeRotatedStopsNobodyElse(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3, 4, 5)
		f.store.Put("README", map[string]any{"text": "not a tenant"})
		f.store.Delete(string(tenant(2)))
		f.store.Edit(string(tenant(3)), func(fields map[string]any) { fields["rotation_policy"] = "sometimes" })
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpRead && c.Tenant == tenant(4) {
				return rotatortest.Fault{Before: rotator.ErrForbidden}
			}
			return rotatortest.Fault{}
		}

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "1 rotated, 5 rotated, 2 invalid, 4 invalid, 3 invalid, README ignored")
		if skipped := f.told(rotator.TenantSkipped); len(skipped) != 4 {
			t.Errorf("told of %v", skipped)
		}
	})
}

func TestANamedTenantMayHaveARivalSoAllAreRead(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)

		report := f.run(t, sweep.Selection{All: true, Tenants: []rotator.TenantID{tenant(2)}})

		mustEnd(t, report, "2 rotated")
		if len(f.of(rotatortest.OpList)) != 1 || len(f.of(rotatortest.OpRead)) != 2 || len(f.of(rotatortest.OpKnows)) != 1 {
			t.Errorf("got %v", f.calls)
		}
	})
}

func TestARepeatedRunFinishesTheRestInsteadOfStartingOver(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.fault = failing(rotatortest.ErrLost, 2)
		time.Sleep(time.Hour)
		first := f.run(t, sweep.Selection{All: true})
		f.fault = nil

		second := f.run(t, sweep.Selection{All: true, RotatedBefore: first.RotatedBefore})

		mustEnd(t, first, "1 rotated, 2 failed")
		mustEnd(t, second, "2 rotated, 1 fresh")
		if !first.RotatedBefore.Equal(f.began.Add(time.Hour)) {
			t.Errorf("cut-off %s", first.RotatedBefore)
		}
	})
}

func TestAPolicyThatChangesMeanwhileIsObeyed(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpWrite && len(f.of(rotatortest.OpWrite)) == 1 {
				f.store.Edit(string(tenant(1)), func(fields map[string]any) { fields["rotation_policy"] = "manual" })
			}
			return rotatortest.Fault{}
		}

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "1 fresh")
		if f.mailu.Sets() != 0 || f.store.Writes() != 0 {
			t.Errorf("%d pushes, %d writes", f.mailu.Sets(), f.store.Writes())
		}
	})
}

func TestTheMasterKeyIsWipedAfterTheRun(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		keys := ownKey(make([]byte, crypto.KeySize))
		for i := range keys {
			keys[i] = 0xaa
		}
		f.sweep.Keys = keys

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "1 rotated")
		if string(keys) != string(make([]byte, crypto.KeySize)) {
			t.Errorf("left %x in memory", []byte(keys))
		}
	})
}

// ownKey returns its own bytes.
type ownKey []byte

func (k ownKey) MasterKeys(context.Context) (*crypto.Keyring, error) {
	return crypto.NewKeyring(map[crypto.KeyVersion][]byte{1: k})
}

func TestARunTellsWhatHappenedInOrder(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 390)

		f.run(t, sweep.Selection{})

		var told []string
		rotations := map[string]bool{}
		for _, e := range f.events {
			told = append(told, fmt.Sprintf("%s %d", e.Name, e.Count))
			if e.Tenant == string(tenant(1)) {
				rotations[e.Rotation] = true
			}
		}
		want := "sweep started 0, sweep planned 1, rotation prepared 0, password pushed 0, password verified 0, rotation committed 0, tenant done 0, sweep finished 0"
		if got := strings.Join(told, ", "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if len(rotations) != 1 {
			t.Errorf("one rotation is told of under %d ids", len(rotations))
		}
	})
}
