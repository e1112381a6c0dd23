package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

func TestRollbackToAPasswordSealedWithoutADate(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.undate(t, 1, "undated")
		f.run(t, sweep.Selection{All: true})

		row, err := f.sweep.Rollback(t.Context(), string(tenant(1)), 0)

		if err != nil || row.Outcome != rotator.Restored {
			t.Fatalf("%s (%s): %v", row.Outcome, row.Reason, err)
		}
		if f.opens(t, 1) != "undated" || f.mailu.Password(userOf(1)) != "undated" {
			t.Errorf("Vault %q, Mailu %q", f.opens(t, 1), f.mailu.Password(userOf(1)))
		}
	})
}

func TestRollbackComparesPasswordsAndNotTheirEnvelopes(t *testing.T) {
	reseal := func(t *testing.T, f *fleet, password string) { f.setCurrent(t, 1, password) }
	tests := []struct {
		name    string
		arrange func(*testing.T, *fleet)
		version int
		want    string // the current password afterwards
		says    string
	}{
		{"resealed", func(t *testing.T, f *fleet) { reseal(t, f, "second") }, 0, "first", "of version 2 "},
		{"resealed twice", func(t *testing.T, f *fleet) { reseal(t, f, "second"); reseal(t, f, "second") }, 0, "first", "of version 2 "},
		{"named, but it is today's", func(t *testing.T, f *fleet) { reseal(t, f, "second") }, 3, "second", "version 3 has today's password, sealed in another way"},
		{"one that does not open", func(t *testing.T, f *fleet) {
			f.edit(1, func(r map[string]any) { r["password"] = "cGxhaW4=" })
			reseal(t, f, "second")
		}, 0, "first", "(not that of version 4: the password does not open"},
		{"named, and does not open", func(t *testing.T, f *fleet) {
			f.edit(1, func(r map[string]any) { r["password"] = "cGxhaW4=" })
			reseal(t, f, "second")
		}, 4, "second", "version 4: the password does not open"},
		{"edited date", func(_ *testing.T, f *fleet) {
			f.edit(1, func(r map[string]any) { r["last_rotated"] = "2026-11-27T00:00:00.000Z" })
		}, 0, "second", "of version 3 "},
		{"edited date, named", func(_ *testing.T, f *fleet) {
			f.edit(1, func(r map[string]any) { r["last_rotated"] = "2026-11-27T00:00:00.000Z" })
		}, 3, "second", "of version 3 "},
		{"edited date, another one named", func(_ *testing.T, f *fleet) {
			f.edit(1, func(r map[string]any) { r["key_version"] = 3 })
		}, 2, "first", "of version 2 "},
		{"a former one with a newline", func(t *testing.T, f *fleet) {
			reseal(t, f, "with newline\n")
			reseal(t, f, "second")
		}, 0, "first", "(not that of version 4: the password ends in a newline"},
		{"a former one with a newline, named", func(t *testing.T, f *fleet) {
			reseal(t, f, "with newline\n")
			reseal(t, f, "second")
		}, 4, "second", "version 4: the password ends in a newline, so it is never sent to Mailu"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.sealed(t, 1, "first")      // versions 1 and 2
				f.setCurrent(t, 1, "second") // version 3
				f.mailu.AddUser(userOf(1), "second")
				test.arrange(t, f)

				row, err := f.sweep.Rollback(t.Context(), string(tenant(1)), test.version)

				if said := fmt.Sprint(row.Reason, err); !strings.Contains(said, test.says) {
					t.Errorf("%q does not contain %q", said, test.says)
				}
				f.mustAgree(t, 1, test.want)
			})
		})
	}
}

func TestRollbackOfATenantElsewhereBeginsNothing(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "first")
		f.setCurrent(t, 1, "second")
		f.edit(1, func(r map[string]any) { r["webmail_url"] = "https://unlisted.example" })

		row, err := f.sweep.Rollback(t.Context(), string(tenant(1)), 0)

		if !errors.Is(err, rotator.ErrOriginNotListed) || row.Outcome != "" || f.store.Writes() != 0 {
			t.Errorf("%s, %v, %d writes", row.Outcome, err, f.store.Writes())
		}
	})
}

func TestRollbackOfAMalformedRecordBeginsNothing(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "first")
		f.setCurrent(t, 1, "second")
		f.edit(1, func(r map[string]any) { r["rotation_policy"] = "soon" })

		row, err := f.sweep.Rollback(t.Context(), string(tenant(1)), 0)

		if !errors.Is(err, rotator.ErrMalformed) || row.Outcome != "" || f.store.Writes() != 0 {
			t.Errorf("%s, %v, %d writes", row.Outcome, err, f.store.Writes())
		}
	})
}

// A rollback names its tenant, and so may exceed the limit on take-overs.
func TestRollbackFinishesWhatIsStuck(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "first")
		f.leave(t, 1, "a dead process", f.began)
		f.edit(1, func(r map[string]any) { r["pending"].(map[string]any)["takeovers"] = 6 })

		row, err := f.sweep.Rollback(t.Context(), string(tenant(1)), 0)

		if err != nil || row.Outcome != rotator.Restored {
			t.Errorf("%s (%s): %v", row.Outcome, row.Reason, err)
		}
		f.mustAgree(t, 1, "first")
	})
}

func TestRollbackThatVaultDoesNotTakeIsAFailure(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.edit(1, func(r map[string]any) { r["last_rotated"] = "2026-11-27T00:00:00.000Z" })
		f.fault = rotatortest.On(rotatortest.OpWrite, rotatortest.Fault{Before: rotator.ErrForbidden})

		row, err := f.sweep.Rollback(t.Context(), string(tenant(1)), 2)

		if err != nil || !row.Outcome.Failure() || row.Outcome == "" {
			t.Errorf("%s (%s): %v", row.Outcome, row.Reason, err)
		}
	})
}

// A partly read history does not show which passwords it has.
func TestRollbackThatIsInterruptedSaysSo(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "first")
		f.setCurrent(t, 1, "second")
		ctx, interrupt := context.WithCancel(t.Context())
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpRead && len(f.of(rotatortest.OpRead)) > 1 {
				interrupt()
				time.Sleep(time.Minute) // longer than the grace
				return rotatortest.Fault{Before: context.Canceled}
			}
			return rotatortest.Fault{}
		}

		_, err := f.sweep.Rollback(ctx, string(tenant(1)), 0)

		if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "history") {
			t.Errorf("got %v", err)
		}
	})
}

func TestRollbackToWhatMailuHoldsNeedsNoPush(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.edit(1, func(r map[string]any) { r["last_rotated"] = "2026-11-27T00:00:00.000Z" })

		row, err := f.sweep.Rollback(t.Context(), string(tenant(1)), 2)

		if err != nil || row.Outcome != rotator.Restored || f.mailu.Sets() != 0 {
			t.Errorf("%s (%s), %d pushes: %v", row.Outcome, row.Reason, f.mailu.Sets(), err)
		}
		f.mustAgree(t, 1, "known")
	})
}

// Whatever a record's fields are, after a repair or a rollback its password opens, or
// it is unchanged.
func TestNoRepairAndNoRollbackLosesAPassword(t *testing.T) {
	seals := []func(*testing.T, *fleet, map[string]any){
		func(t *testing.T, f *fleet, r map[string]any) {
			r["password"] = f.seal(t, 1, r["last_rotated"].(string), "one")
		},
		func(t *testing.T, f *fleet, r map[string]any) {
			r["password"] = f.seal(t, 1, "2020-02-02T00:00:00Z", "two")
			r["last_rotated"] = "2020-02-02T00:00:00Z"
		},
		func(t *testing.T, f *fleet, r map[string]any) {
			r["password"] = f.seal(t, 1, "", "three")
			delete(r, "last_rotated")
		},
		func(t *testing.T, f *fleet, r map[string]any) {
			r["password"] = f.seal(t, 1, "", "one")
			delete(r, "key_version")
			delete(r, "last_rotated")
		},
		func(_ *testing.T, _ *fleet, r map[string]any) { r["last_rotated"] = "edited" },
		func(_ *testing.T, _ *fleet, r map[string]any) { r["key_version"] = 4 },
	}
	for i, former := range seals[1:3] {
		for j, newest := range seals {
			for _, held := range []string{"three", "by hand"} {
				for _, rollback := range []bool{false, true} {
					t.Run(fmt.Sprint(i, j, held, rollback), func(t *testing.T) {
						inFleet(t, func(t *testing.T, f *fleet) {
							f.add(serverA, 1)
							base, _ := f.store.Get(string(tenant(1)))
							f.edit(1, func(r map[string]any) { former(t, f, r) })
							if j < 4 {
								f.edit(1, func(r map[string]any) { clear(r); maps.Copy(r, base) })
							}
							f.edit(1, func(r map[string]any) { newest(t, f, r) })
							f.mailu.AddUser(userOf(1), held)
							before, _ := f.store.Get(string(tenant(1)))

							succeeded := false
							if rollback {
								row, err := f.sweep.Rollback(t.Context(), string(tenant(1)), 0)
								succeeded = err == nil && row.Outcome == rotator.Restored
							} else {
								v := f.verify(t, true)
								succeeded = v.Findings[0].State == rotator.StateOK
							}

							after, _ := f.store.Get(string(tenant(1)))
							if !succeeded {
								if !maps.EqualFunc(before, after, func(a, b any) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
									t.Errorf("it failed, and the record is another one: %v", after)
								}
								return
							}
							if vault := f.opens(t, 1); vault != f.mailu.Password(userOf(1)) || after["pending"] != nil {
								t.Errorf("Vault %q, Mailu %q", vault, f.mailu.Password(userOf(1)))
							}
						})
					})
				}
			}
		}
	}
}

// What another process wrote is not what the rollback was to bring.
func TestARollbackThatIsOvertakenIsAFailure(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "first")
		f.setCurrent(t, 1, "second")
		f.mailu.AddUser(userOf(1), "second")
		f.fault = f.before(rotatortest.OpWrite, func() {
			f.setCurrent(t, 1, "the operator's")
			f.mailu.AddUser(userOf(1), "the operator's")
		})

		row, err := f.sweep.Rollback(t.Context(), string(tenant(1)), 0)

		if err != nil || row.Outcome != rotator.Failed {
			t.Errorf("%s (%s): %v", row.Outcome, row.Reason, err)
		}
		f.mustAgree(t, 1, "the operator's")
	})
}
