package rotator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
)

func TestWhatARotationCosts(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)

		f.run(t, rotator.Selection{})

		want := map[rotatortest.Op]int{
			rotatortest.OpList: 1, rotatortest.OpRead: 1, rotatortest.OpWrite: 2, rotatortest.OpKeys: 1,
			rotatortest.OpKnows: 1, rotatortest.OpSetPassword: 1, rotatortest.OpProof: 1,
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

		report := f.run(t, rotator.Selection{})

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

		report, err := f.sweep.Plan(t.Context(), rotator.Selection{})

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

				_, err := f.sweep.Run(t.Context(), rotator.Selection{}, 0)

				if err == nil || !strings.Contains(err.Error(), test.words) || len(f.of(rotatortest.OpWrite)) != 0 || len(f.of(rotatortest.OpKnows)) != 0 {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

func TestAnEmptyListIsNeverAFleetWithoutTenants(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		_, err := f.sweep.Run(t.Context(), rotator.Selection{}, 0)

		if !errors.Is(err, rotator.ErrNoTenants) {
			t.Errorf("got %v", err)
		}
	})
}

func TestARunThatIsForNobodyDoesNotTakePlace(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)

		_, err := f.sweep.Run(t.Context(), rotator.Selection{All: true, Origins: []rotator.Origin{serverB}}, 0)

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

		report := f.run(t, rotator.Selection{})

		mustEnd(t, report, "1 rotated, 5 rotated, 2 invalid, 4 invalid, 3 invalid, README ignored")
		if skipped := f.told(rotator.TenantSkipped); len(skipped) != 4 {
			t.Errorf("told of %v", skipped)
		}
	})
}

func TestANamedTenantIsReadWithoutTheList(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)

		report := f.run(t, rotator.Selection{All: true, Tenants: []rotator.TenantID{tenant(2)}})

		mustEnd(t, report, "2 rotated")
		if len(f.of(rotatortest.OpList)) != 0 || len(f.of(rotatortest.OpRead)) != 1 {
			t.Errorf("got %v", f.calls)
		}
	})
}

func TestARepeatedRunFinishesTheRestInsteadOfStartingOver(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.fault = failing(rotatortest.ErrLost, 2)
		time.Sleep(time.Hour)
		first := f.run(t, rotator.Selection{All: true})
		f.fault = nil

		second := f.run(t, rotator.Selection{All: true, RotatedBefore: first.RotatedBefore})

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

		report := f.run(t, rotator.Selection{})

		mustEnd(t, report, "1 fresh")
		if f.mailu.Sets() != 0 || f.store.Writes() != 0 {
			t.Errorf("%d pushes, %d writes", f.mailu.Sets(), f.store.Writes())
		}
	})
}

// askew is a clock that is off.
type askew struct {
	rotator.SystemClock
	by time.Duration
}

func (c askew) Now() time.Time { return c.SystemClock.Now().Add(c.by) }

func TestTheClockGuard(t *testing.T) {
	tests := []struct {
		by      time.Duration
		refused string
	}{
		{0, ""},
		{5 * time.Minute, ""},
		{-5 * time.Minute, ""},
		{5*time.Minute + time.Millisecond, "5m0s ahead of Vault's"},
		{-6 * time.Minute, "6m0s behind Vault's"},
		{24 * time.Hour, "24h0m0s ahead of Vault's"},
	}
	for _, test := range tests {
		t.Run(test.by.String(), func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1)
				f.sweep.Clock = askew{by: test.by}

				_, err := f.sweep.Run(t.Context(), rotator.Selection{PendingOnly: true}, 0)

				var skew *rotator.ClockSkewError
				switch {
				case test.refused == "" && err != nil:
					t.Errorf("refused: %v", err)
				case test.refused != "" && (!errors.As(err, &skew) || skew.Skew != test.by || !strings.Contains(err.Error(), test.refused) || len(f.calls) != 0):
					t.Errorf("got %v after %d calls", err, len(f.calls))
				}
			})
		})
	}
}

func TestTimestampsAreVaultsTimeWhereTheHostsClockIsOff(t *testing.T) {
	for by, want := range map[time.Duration]string{
		3 * time.Minute: "2000-01-01T00:00:00.000Z",
		time.Second:     "2000-01-01T00:00:01.000Z", // Vault tells whole seconds: no difference to speak of
	} {
		inFleet(t, func(t *testing.T, f *fleet) {
			f.add(serverA, 1)
			f.sweep.Clock = askew{by: by}

			f.run(t, rotator.Selection{})

			if fields, _ := f.store.Get(string(tenant(1))); fields["last_rotated"] != want {
				t.Errorf("off by %s: last_rotated is %v, want %s", by, fields["last_rotated"], want)
			}
		})
	}
}

// Where Vault had to be waited for, half of the wait would be taken for an error
// of the host's clock, and claims of others for lapsed.
func TestATimeThatWasWaitedForIsNotCompared(t *testing.T) {
	tests := []struct {
		name  string
		waits []time.Duration // of the first answers; the others come at once
		want  string          // last_rotated
	}{
		{"at once", nil, "2000-01-01T00:00:00.000Z"},
		{"a Vault that was down", []time.Duration{8 * time.Minute}, "2000-01-01T00:08:00.000Z"},
		{"and again", []time.Duration{time.Minute, 3 * time.Second}, "2000-01-01T00:01:03.000Z"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1)
				f.sweep.Time = &slowTime{waits: test.waits}

				f.run(t, rotator.Selection{})

				if fields, _ := f.store.Get(string(tenant(1))); fields["last_rotated"] != test.want {
					t.Errorf("last_rotated is %v, want %s: the host's clock is right", fields["last_rotated"], test.want)
				}
			})
		})
	}
}

func TestATimeThatAlwaysHasToBeWaitedForRefusesTheRun(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.sweep.Time = &slowTime{waits: slices.Repeat([]time.Duration{3 * time.Second}, 100)}

		_, err := f.sweep.Run(t.Context(), rotator.Selection{}, 0)

		if err == nil || !strings.Contains(err.Error(), "compare clocks") || len(f.calls) != 0 {
			t.Errorf("got %v after %d calls", err, len(f.calls))
		}
	})
}

// slowTime is right, once it answers.
type slowTime struct{ waits []time.Duration }

func (s *slowTime) Time(context.Context) (time.Time, error) {
	if len(s.waits) > 0 {
		time.Sleep(s.waits[0])
		s.waits = s.waits[1:]
	}
	return time.Now(), nil
}

func TestATimeSourceThatFailsRefusesTheRun(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.sweep.Time = noTime{}

		_, err := f.sweep.Run(t.Context(), rotator.Selection{}, 0)

		if !errors.Is(err, rotatortest.ErrLost) || len(f.calls) != 0 {
			t.Errorf("got %v after %d calls", err, len(f.calls))
		}
	})
}

type noTime struct{}

func (noTime) Time(context.Context) (time.Time, error) { return time.Time{}, rotatortest.ErrLost }

func TestTheMasterKeyIsWipedAfterTheRun(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		keys := ownKey(make([]byte, crypto.KeySize))
		for i := range keys {
			keys[i] = 0xaa
		}
		f.sweep.Keys = keys

		report := f.run(t, rotator.Selection{})

		mustEnd(t, report, "1 rotated")
		if string(keys) != string(make([]byte, crypto.KeySize)) {
			t.Errorf("left %x in memory", []byte(keys))
		}
	})
}

// ownKey hands out its own bytes.
type ownKey []byte

func (k ownKey) MasterKeys(context.Context) (*crypto.Keyring, error) {
	return crypto.NewKeyring(map[crypto.KeyVersion][]byte{1: k})
}

func TestARunTellsWhatHappenedInOrder(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 390)

		f.run(t, rotator.Selection{})

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
