package rotator_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
)

// opens is the current password of a tenant's record, opened as any reader would:
// with the fields that stand beside it, "" where there is none.
func (f *fleet) opens(t *testing.T, n int) string {
	t.Helper()
	fields, _ := f.store.Get(string(tenant(n)))
	lastRotated, _ := fields["last_rotated"].(string)
	opened, err := f.ring(t).Open(1, crypto.Binding{TenantID: string(tenant(n)), LastRotated: lastRotated}, crypto.SealedPassword(fields["password"].(string)))
	if err != nil {
		t.Fatalf("nobody can open the record: %v", err)
	}
	return opened.RevealString()
}

// edit changes the fields of a tenant's newest version by hand.
func (f *fleet) edit(n int, change func(map[string]any)) { f.store.Edit(string(tenant(n)), change) }

// undate seals a tenant's password as others may: for no last_rotated.
func (f *fleet) undate(t *testing.T, n int, password string) {
	t.Helper()
	f.edit(n, func(fields map[string]any) {
		delete(fields, "last_rotated")
		fields["password"] = f.seal(t, n, "", password)
	})
	f.mailu.AddUser(userOf(n), password)
}

func mustFind(t *testing.T, v rotator.Verification, state rotator.State, repaired bool, reason string) {
	t.Helper()
	if got := v.Findings[0]; got.State != state || got.Repaired != repaired || !strings.Contains(got.Reason, reason) {
		t.Errorf("%s, repaired %t: %s; want %s, %t, %q", got.State, got.Repaired, got.Reason, state, repaired, reason)
	}
}

func TestRepairOfAPasswordSealedWithoutADate(t *testing.T) {
	tests := []struct {
		name    string
		arrange func(*testing.T, *fleet)
		how     string
		born    string // what the age counts from afterwards
	}{
		{"from the history", func(t *testing.T, f *fleet) {
			f.run(t, rotator.Selection{All: true})
			f.mailu.AddUser(userOf(1), "undated")
		}, "current again that Mailu holds", ""},
		{"pushed, under the date of its creation", func(_ *testing.T, f *fleet) {
			f.mailu.AddUser(userOf(1), "by hand")
		}, "pushed", "created_at"},
		{"pushed, of unknown age", func(_ *testing.T, f *fleet) {
			f.edit(1, func(fields map[string]any) { delete(fields, "created_at") })
			f.mailu.AddUser(userOf(1), "by hand")
		}, "pushed", "1970-01-01T00:00:00.000Z"},
		{"deleted, from the history", func(t *testing.T, f *fleet) {
			f.run(t, rotator.Selection{All: true})
			f.mailu.AddUser(userOf(1), "undated")
			f.edit(1, func(map[string]any) {})
			f.store.Delete(string(tenant(1)))
		}, "brought back", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1)
				f.undate(t, 1, "undated")
				test.arrange(t, f)

				mustFind(t, f.verify(t, true), rotator.StateOK, true, test.how)

				fields, _ := f.store.Get(string(tenant(1)))
				lastRotated, _ := fields["last_rotated"].(string)
				if test.born == "created_at" {
					test.born = f.began.AddDate(0, 0, 1-400).UTC().Format("2006-01-02T15:04:05.000Z")
				}
				if held := f.mailu.Password(userOf(1)); f.opens(t, 1) != "undated" || held != "undated" || lastRotated != test.born {
					t.Errorf("Vault %q of %q, Mailu %q", f.opens(t, 1), lastRotated, held)
				}
				mustFind(t, f.verify(t, false), rotator.StateOK, false, "")
			})
		})
	}
}

func TestRollbackToAPasswordSealedWithoutADate(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.undate(t, 1, "undated")
		f.run(t, rotator.Selection{All: true})

		row, err := f.sweep.Rollback(t.Context(), tenant(1), 0)

		if err != nil || row.Outcome != rotator.Restored {
			t.Fatalf("%s (%s): %v", row.Outcome, row.Reason, err)
		}
		if f.opens(t, 1) != "undated" || f.mailu.Password(userOf(1)) != "undated" {
			t.Errorf("Vault %q, Mailu %q", f.opens(t, 1), f.mailu.Password(userOf(1)))
		}
	})
}

func TestWhatWasEditedByHandIsSaidAndRepaired(t *testing.T) {
	tests := []struct {
		name   string
		edit   func(map[string]any)
		reason string
	}{
		{"last_rotated", func(r map[string]any) { r["last_rotated"] = "2026-11-27T00:00:00.000Z" }, "last_rotated was changed by hand since version 2"},
		{"last_rotated taken out", func(r map[string]any) { delete(r, "last_rotated") }, "last_rotated was changed by hand since version 2"},
		{"key_version", func(r map[string]any) { r["key_version"] = 7 }, "key_version was changed by hand since version 2"},
		{"both", func(r map[string]any) { r["key_version"], r["last_rotated"] = 7, "today" }, "last_rotated and key_version was changed by hand since version 2"},
		{"password", func(r map[string]any) { r["password"] = "cGxhaW4=" }, "the one of version 2 does"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.sealed(t, 1, "known")
				f.edit(1, test.edit)

				mustFind(t, f.verify(t, false), rotator.StateUnreadable, false, test.reason)
				mustFind(t, f.verify(t, true), rotator.StateOK, true, "current again that Mailu holds")

				f.mustAgree(t, 1, "known")
				if f.mailu.Sets() != 0 {
					t.Error("a password was pushed that Mailu holds already")
				}
			})
		})
	}
}

func TestRepairPushesAPasswordWhoseDateWasEdited(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.edit(1, func(r map[string]any) { r["last_rotated"] = "2026-11-27T00:00:00.000Z" })
		f.mailu.AddUser(userOf(1), "by hand")

		mustFind(t, f.verify(t, true), rotator.StateOK, true, "pushed")

		f.mustAgree(t, 1, "known")
	})
}

func TestRepairNeverPushesWhatItCannotOpen(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.edit(1, func(r map[string]any) { r["password"] = "cGxhaW4=" })
		f.mailu.AddUser(userOf(1), "by hand")
		writes := f.store.Writes()

		mustFind(t, f.verify(t, true), rotator.StateUnreadable, false, "not repaired: no earlier version of the record holds it")

		if f.store.Writes() != writes || f.mailu.Sets() != 0 {
			t.Error("something was changed")
		}
	})
}

func TestRepairOfAPendingPasswordWhoseDateWasEdited(t *testing.T) {
	for _, held := range []string{"known", "pending password", "by hand"} {
		t.Run("Mailu holds "+held, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.sealed(t, 1, "known")
				f.leave(t, 1, "a dead process", f.began)
				f.edit(1, func(r map[string]any) { r["pending"].(map[string]any)["last_rotated"] = "2001-01-01T00:00:00.000Z" })
				f.mailu.AddUser(userOf(1), held)

				mustFind(t, f.verify(t, true), rotator.StateOK, true, "finished")

				f.mustAgree(t, 1, "pending password")
			})
		})
	}
}

func TestAPendingPasswordThatWasEditedIsSaidSo(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.leave(t, 1, "a dead process", f.began)
		f.edit(1, func(r map[string]any) { r["pending"].(map[string]any)["key_version"] = 9 })
		f.mailu.AddUser(userOf(1), "pending password")

		mustFind(t, f.verify(t, false), rotator.StateUnreadable, false, "the pending password does not open: key_version was changed by hand since version 3")
	})
}

func TestALostCurrentPasswordBesideTheOneThatMailuHolds(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.leave(t, 1, "a dead process", f.began)
		f.edit(1, func(r map[string]any) { r["last_rotated"] = "today" })
		f.mailu.AddUser(userOf(1), "pending password")

		mustFind(t, f.verify(t, false), rotator.StatePending, false, "half-finished")
		mustFind(t, f.verify(t, true), rotator.StateOK, true, "finished")

		f.mustAgree(t, 1, "pending password")
	})
}

// A repair says that it has repaired only what its readers can open afterwards.
func TestARepairThatIsOverwrittenIsNoRepair(t *testing.T) {
	tests := []struct {
		name  string
		write func(*testing.T, *fleet)
		want  string
	}{
		{"by what opens to nothing", func(_ *testing.T, f *fleet) {
			f.edit(1, func(r map[string]any) { r["password"] = "cGxhaW4=" })
		}, "read the record again: the password does not open"},
		{"by another date", func(_ *testing.T, f *fleet) {
			f.edit(1, func(r map[string]any) { r["last_rotated"] = "today" })
		}, "read the record again: the password does not open"},
		{"by another password", func(t *testing.T, f *fleet) { f.setCurrent(t, 1, "another") }, "somebody wrote another password into the record meanwhile"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.sealed(t, 1, "known")
				f.mailu.AddUser(userOf(1), "by hand")
				writes := 0
				f.fault = func(c rotatortest.Call) rotatortest.Fault {
					switch {
					case c.Op == rotatortest.OpWrite:
						writes++
					case c.Op == rotatortest.OpRead && writes == 2: // prepare and commit are through
						writes = 0
						test.write(t, f)
					}
					return rotatortest.Fault{}
				}

				mustFind(t, f.verify(t, true), rotator.StateDrift, false, test.want)
			})
		})
	}
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

				row, err := f.sweep.Rollback(t.Context(), tenant(1), test.version)

				if said := fmt.Sprint(row.Reason, err); !strings.Contains(said, test.says) {
					t.Errorf("%q does not contain %q", said, test.says)
				}
				f.mustAgree(t, 1, test.want)
			})
		})
	}
}

func TestRollbackToWhatMailuHoldsNeedsNoPush(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.edit(1, func(r map[string]any) { r["last_rotated"] = "2026-11-27T00:00:00.000Z" })

		row, err := f.sweep.Rollback(t.Context(), tenant(1), 2)

		if err != nil || row.Outcome != rotator.Restored || f.mailu.Sets() != 0 {
			t.Errorf("%s (%s), %d pushes: %v", row.Outcome, row.Reason, f.mailu.Sets(), err)
		}
		f.mustAgree(t, 1, "known")
	})
}

func TestRepairAfterAResealFindsTheFormerPassword(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "first")
		f.setCurrent(t, 1, "second")
		f.setCurrent(t, 1, "second")
		f.mailu.AddUser(userOf(1), "first")
		asked := len(f.of(rotatortest.OpProof))

		mustFind(t, f.verify(t, true), rotator.StateOK, true, "current again that Mailu holds")

		f.mustAgree(t, 1, "first")
		if n := len(f.of(rotatortest.OpProof)) - asked; n != 3 { // today's, the former one, and before the commit
			t.Errorf("Mailu was asked %d times", n)
		}
	})
}

func TestWhatCannotBeAPasswordOfOursIsNeverPushed(t *testing.T) {
	for _, password := range []string{"short\n", "short\r\n", " short", "sh\x00ort", "\ufeffshort", "sh\xffort"} {
		t.Run(fmt.Sprintf("%q", password), func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.sealed(t, 1, password)
				f.mailu.AddUser(userOf(1), "short")
				writes := f.store.Writes()

				v := f.verify(t, true)

				mustFind(t, v, rotator.StateDrift, false, "so it is never pushed: --run-now --tenant makes a new one; not repaired: the password ")
				if f.mailu.Password(userOf(1)) != "short" || f.store.Writes() != writes {
					t.Errorf("Mailu accepts %q after %d writes", f.mailu.Password(userOf(1)), f.store.Writes()-writes)
				}

				f.run(t, rotator.Selection{All: true})
				mustFind(t, f.verify(t, false), rotator.StateOK, false, "")
			})
		})
	}
}

func TestAHalfFinishedPasswordThatCannotBeOursIsNotPushed(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.leaveWith(t, 1, "pending\n")
		writes := f.store.Writes()

		v := f.verify(t, true)
		report := f.run(t, rotator.Selection{All: true})

		mustFind(t, v, rotator.StatePending, false, "not repaired: push: the password ends in a newline")
		if f.mailu.Password(userOf(1)) != "known" || f.store.Writes() != writes || report.Rows[0].Outcome != rotator.Unfinished {
			t.Errorf("Mailu accepts %q after %d writes, the run says %s", f.mailu.Password(userOf(1)), f.store.Writes()-writes, report.Rows[0].Outcome)
		}
	})
}

func TestAHalfFinishedPasswordThatMailuHoldsIsFinishedWhateverItIs(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.leaveWith(t, 1, "pending\n")
		f.mailu.AddUser(userOf(1), "pending\n")

		mustFind(t, f.verify(t, true), rotator.StateOK, true, "finished")

		f.mustAgree(t, 1, "pending\n")
		mustFind(t, f.verify(t, false), rotator.StateOK, false, "the password ends in a newline, which a login form or a mail client may not send")
	})
}

// leaveWith leaves a half-finished rotation to this password.
func (f *fleet) leaveWith(t *testing.T, n int, password string) {
	t.Helper()
	f.leave(t, n, "a dead process", f.began)
	f.edit(n, func(fields map[string]any) {
		pending := fields["pending"].(map[string]any)
		pending["password"] = f.seal(t, n, pending["last_rotated"].(string), password)
	})
}

// foreignHash makes Mailu show a hash of another kind until it is sent a password.
func (f *fleet) foreignHash() {
	f.fault = func(c rotatortest.Call) rotatortest.Fault {
		if c.Op == rotatortest.OpProof && f.mailu.Sets() == 0 {
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

func TestATenantWhoseUserIsGoneIsNotUnproven(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.fault = onOp(rotatortest.OpProof, rotatortest.Fault{Before: errors.Join(rotator.ErrUnknownUser, rotator.ErrUnverifiable)})

		mustFind(t, f.verify(t, true), rotator.StateUnknownUser, false, "")
	})
}

// Whatever a record's fields are, a repair or a rollback leaves one that opens, or
// the one that it met.
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
								row, err := f.sweep.Rollback(t.Context(), tenant(1), 0)
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
