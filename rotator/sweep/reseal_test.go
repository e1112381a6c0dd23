package sweep_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// twoKeys adds a second version of the master key to the store's.
type twoKeys struct{ first [crypto.KeySize]byte }

func (k twoKeys) MasterKeys(context.Context) (*crypto.Keyring, error) {
	return crypto.NewKeyring(map[crypto.KeyVersion][]byte{1: k.first[:], 2: slices.Repeat([]byte{2}, crypto.KeySize)})
}

func (f *fleet) reseal(t *testing.T, sel sweep.Selection) sweep.Report {
	t.Helper()
	f.sweep.Keys = twoKeys{}
	report, err := f.sweep.Reseal(t.Context(), sel)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestResealKeepsPasswordAndAgeAndFieldsOfOthers(t *testing.T) {
	for name, key := range map[string]any{"version recorded": 1, "version not recorded": nil} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.sealed(t, 1, "the password")
				f.store.Edit(string(tenant(1)), func(fields map[string]any) { fields["key_version"], fields["note"] = key, "not ours" })
				before, version := f.store.Get(string(tenant(1)))

				report := f.reseal(t, sweep.Selection{})

				mustEnd(t, report, "1 resealed")
				after, now := f.store.Get(string(tenant(1)))
				if now != version+1 || toString(after["key_version"]) != "2" || after["password"] == before["password"] {
					t.Errorf("version %d, then %d: %v", version, now, after)
				}
				for _, field := range []string{"last_rotated", "created_at", "username", "webmail_url", "note"} {
					if after[field] != before[field] {
						t.Errorf("%s was %v, is %v", field, before[field], after[field])
					}
				}
				ring, _ := twoKeys{}.MasterKeys(t.Context())
				password, err := ring.Open(2, crypto.Binding{TenantID: string(tenant(1)), LastRotated: after["last_rotated"].(string)}, crypto.SealedPassword(after["password"].(string)))
				if err != nil || password.RevealString() != "the password" {
					t.Errorf("opens to %q, %v", password.RevealString(), err)
				}
				if calls := len(f.of(rotatortest.OpKnows)) + len(f.of(rotatortest.OpVerify)) + len(f.of(rotatortest.OpSetPassword)); calls != 0 {
					t.Errorf("Mailu was asked %d times", calls)
				}
				mustEnd(t, f.reseal(t, sweep.Selection{}), "1 fresh")
			})
		})
	}
}

func TestWhatResealLeavesAndWhy(t *testing.T) {
	tests := []struct {
		name    string
		arrange func(*testing.T, *fleet)
		want    rotator.Outcome
		reason  string
	}{
		{"under way", func(t *testing.T, f *fleet) { f.leave(t, 1, "somebody", time.Now().Add(time.Minute)) }, rotator.Claimed, "rotation under way by somebody, until "},
		{"half-finished", func(t *testing.T, f *fleet) { f.leave(t, 1, "somebody", time.Now()) }, rotator.Unfinished, "half-finished rotation by somebody: finish it first"},
		{"malformed", func(_ *testing.T, f *fleet) {
			f.store.Edit(string(tenant(1)), func(fields map[string]any) { delete(fields, "username") })
		}, rotator.Invalid, "username is missing"},
		{"does not open", func(_ *testing.T, f *fleet) {
			f.store.Edit(string(tenant(1)), func(fields map[string]any) { fields["last_rotated"] = "2020-01-01T00:00:00Z" })
		}, rotator.Failed, "the password does not open (key_version 1)"},
		{"does not open, without a key_version", func(_ *testing.T, f *fleet) {
			f.store.Edit(string(tenant(1)), func(fields map[string]any) {
				fields["last_rotated"], fields["key_version"] = "2020-01-01T00:00:00Z", nil
			})
		}, rotator.Failed, "the password does not open (no key_version is recorded, and all were tried): sealed password does not open: restore the record"},
		{"in another form", func(_ *testing.T, f *fleet) {
			f.store.Edit(string(tenant(1)), func(fields map[string]any) { fields["password"] = strings.Repeat("ab", 40) })
		}, rotator.Failed, "the password does not open: sealed password does not open: it is hexadecimal, not base64: no key opens that"},
		{"deleted", func(_ *testing.T, f *fleet) { f.store.Delete(string(tenant(1))) }, rotator.Invalid, "deleted"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.sealed(t, 1, "the password")
				test.arrange(t, f)

				report := f.reseal(t, sweep.Selection{})

				if row := report.Rows[0]; row.Outcome != test.want || !strings.Contains(row.Reason, test.reason) || f.store.Writes() != 0 {
					t.Errorf("got %s: %s", row.Outcome, row.Reason)
				}
				if n := len(f.told(rotator.TenantSkipped)) + len(f.told(rotator.TenantDone)); n != 1 {
					t.Errorf("told %d times", n)
				}
			})
		})
	}
}

func TestADryResealWritesNothing(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "the password")
		f.sweep.Keys = twoKeys{}

		report, err := dry(f.sweep).Reseal(t.Context(), sweep.Selection{Tenants: []rotator.TenantID{tenant(1)}})

		if err != nil || report.Rows[0].Outcome != rotator.Planned || report.Rows[0].Reason != "to be sealed with key version 2 instead of 1" || f.store.Writes() != 0 {
			t.Errorf("got %+v, %v", report.Rows, err)
		}
	})
}

func TestAResealGoesOnTopOfSomebodysEdit(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "the password")
		edits := 1
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpWrite && edits > 0 {
				edits--
				f.store.Edit(string(tenant(1)), func(fields map[string]any) { fields["ticket"] = "OPS-1" })
			}
			return rotatortest.Fault{}
		}

		mustEnd(t, f.reseal(t, sweep.Selection{}), "1 resealed")

		if fields, _ := f.store.Get(string(tenant(1))); fields["ticket"] != "OPS-1" || toString(fields["key_version"]) != "2" {
			t.Errorf("the record is %v", fields)
		}
	})
}

func TestAResealWhoseAnswerIsLostIsKnownForItsOwn(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "the password")
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpWrite && len(f.of(rotatortest.OpWrite)) == 1 {
				return rotatortest.Fault{After: rotatortest.ErrLost}
			}
			return rotatortest.Fault{}
		}

		mustEnd(t, f.reseal(t, sweep.Selection{}), "1 resealed")
	})
}

func TestARotationThatComesUnderAResealIsAFailure(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "the password")
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpWrite {
				f.leave(t, 1, "a dead process", f.began)
			}
			return rotatortest.Fault{}
		}

		mustEnd(t, f.reseal(t, sweep.Selection{}), "1 unfinished")
		if done := f.told(rotator.TenantDone); len(done) != 1 || done[0].Err == nil {
			t.Errorf("told %+v", done)
		}
	})
}

func TestAResealThatIsInterruptedBeginsNoMore(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "the password")
		f.sealed(t, 2, "the password")
		ctx, interrupt := context.WithCancel(t.Context())
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpWrite {
				interrupt()
			}
			return rotatortest.Fault{}
		}
		f.sweep.Keys, f.sweep.Workers = twoKeys{}, 1

		report, err := f.sweep.Reseal(ctx, sweep.Selection{})

		must(t, err)
		mustEnd(t, report, "1 resealed, 2 deferred")
	})
}

// A tenant that shares a user with a selected one is only read, and not resealed.
func TestAResealOfOneServerLeavesRivalsElsewhere(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "the password")
		f.add(serverB, 2)
		f.mailu.APIs = oneMailu
		f.edit(2, func(fields map[string]any) { fields["username"] = userOf(1) })

		mustEnd(t, f.reseal(t, sweep.Selection{Origins: []rotator.Origin{serverA}}), "1 resealed")
	})
}

// Another host that came first is not this one's success.
func TestAResealDoesNotTakeAnothersWriteForItsOwn(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "the password")
		another := envelope(2)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpWrite {
				f.store.Edit(string(tenant(1)), func(fields map[string]any) { fields["password"], fields["key_version"] = another, 2 })
			}
			return rotatortest.Fault{}
		}

		report := f.reseal(t, sweep.Selection{})

		mustEnd(t, report, "1 fresh")
		if fields, _ := f.store.Get(string(tenant(1))); fields["password"] != another {
			t.Error("the other host's password is gone")
		}
	})
}

// A reseal pushes nothing, so nothing depends on the other tenants.
func TestAResealOfNamedTenantsNeedsNoList(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "the password")
		f.fault = rotatortest.On(rotatortest.OpList, rotatortest.Fault{Before: rotator.ErrForbidden})

		mustEnd(t, f.reseal(t, sweep.Selection{Tenants: []rotator.TenantID{tenant(1)}}), "1 resealed")

		if n := len(f.of(rotatortest.OpList)); n != 0 {
			t.Errorf("listed %d times", n)
		}
	})
}

func TestAResealThatCannotStartWipesTheKeys(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		keys := ownKey(slices.Repeat([]byte{0xaa}, crypto.KeySize))
		f.sweep.Keys = keys
		f.fault = rotatortest.On(rotatortest.OpList, rotatortest.Fault{Before: rotator.ErrForbidden})

		_, err := f.sweep.Reseal(t.Context(), sweep.Selection{})

		if err == nil || string(keys) != string(make([]byte, crypto.KeySize)) {
			t.Errorf("%v; left %x in memory", err, []byte(keys))
		}
	})
}
