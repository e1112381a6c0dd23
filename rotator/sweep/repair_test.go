package sweep_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// opens returns the current password of a tenant's record, opened as any reader would:
// with the fields beside it; "" without a password.
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

// undate seals a tenant's password as other programs may: without last_rotated.
func (f *fleet) undate(t *testing.T, n int, password string) {
	t.Helper()
	f.edit(n, func(fields map[string]any) {
		delete(fields, "last_rotated")
		fields["password"] = f.seal(t, n, "", password)
	})
	f.mailu.AddUser(userOf(n), password)
}

func mustFind(t *testing.T, v sweep.VerifyReport, state rotator.State, repaired bool, reason string) {
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
			f.run(t, sweep.Selection{All: true})
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
			f.run(t, sweep.Selection{All: true})
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

				v := f.verify(t, true)

				mustFind(t, v, rotator.StateOK, true, test.how)
				if got := v.Findings[0]; got.User != userOf(1) || got.Origin != serverA || len(f.told(rotator.TenantRepaired)) != 1 {
					t.Errorf("user %q at %q, told %d times", got.User, got.Origin, len(f.told(rotator.TenantRepaired)))
				}
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

func TestARepairedRecordThatDeletesItselfSaysSo(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.expiring(90 * 24 * time.Hour)
		f.sealed(t, 1, "known")
		f.mailu.AddUser(userOf(1), "by hand")

		mustFind(t, f.verify(t, true), rotator.StateOK, true, "pushed Vault's current password; the record deletes itself")
	})
}

// A repair's own claim begins with zero take-overs, which are limited.
func TestARepairBeginsWithoutTakeovers(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.mailu.AddUser(userOf(1), "by hand")
		f.fault = rotatortest.On(rotatortest.OpSetPassword, rotatortest.Fault{Before: rotatortest.ErrLost})

		f.verify(t, true)

		fields, _ := f.store.Get(string(tenant(1)))
		if pending := fields["pending"].(map[string]any); pending["takeovers"] != nil {
			t.Errorf("%v take-overs", pending["takeovers"])
		}
	})
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

// Somebody writes to the record during the take-over, which is rebased onto the edited
// fields and corrects them: the push may fail, and any run finishes what is pending.
func TestATakeOverThatIsRebasedPutsEditedFieldsRight(t *testing.T) {
	for field, value := range map[string]any{"last_rotated": "2001-01-01T00:00:00.000Z", "key_version": 9} {
		t.Run(field, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.sealed(t, 1, "known")
				f.leave(t, 1, "a dead process", f.began)
				f.edit(1, func(r map[string]any) { r["pending"].(map[string]any)[field] = value })
				f.fault = func(c rotatortest.Call) rotatortest.Fault {
					switch {
					case c.Op == rotatortest.OpWrite && len(f.of(rotatortest.OpWrite)) == 1:
						f.edit(1, func(r map[string]any) { r["note"] = "by hand" })
					case c.Op == rotatortest.OpSetPassword:
						return rotatortest.Fault{Before: rotatortest.ErrLost}
					}
					return rotatortest.Fault{}
				}
				mustFind(t, f.verify(t, true), rotator.StatePending, false, "not repaired: push")

				f.fault = nil
				time.Sleep(ttl)
				mustEnd(t, f.run(t, sweep.Selection{}), "1 finished")

				f.mustAgree(t, 1, "pending password")
			})
		})
	}
}

func TestARepairOfWhatOpensReadsNoHistory(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		for n := range 20 {
			f.edit(1, func(r map[string]any) { r["note"] = n })
		}
		f.leave(t, 1, "a dead process", f.began)

		mustFind(t, f.verify(t, true), rotator.StateOK, true, "finished")

		if n := len(f.of(rotatortest.OpRead)); n > 10 {
			t.Errorf("%d reads", n)
		}
	})
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

// A repair reports success only if its readers can open the password afterwards.
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
		{"by an addition", func(t *testing.T, f *fleet) {
			f.leave(t, 1, "tenant add", f.began)
			f.edit(1, func(r map[string]any) { delete(r, "password") })
		}, "the record has no current password now: verify again"},
		{"by another password", func(t *testing.T, f *fleet) { f.setCurrent(t, 1, "another") }, "another writer has replaced the password in the record"},
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
					case c.Op == rotatortest.OpRead && writes == 2: // prepare and commit have been written
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

func TestRepairAfterAResealFindsTheFormerPassword(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "first")
		f.setCurrent(t, 1, "second")
		f.setCurrent(t, 1, "second")
		f.mailu.AddUser(userOf(1), "first")
		asked := len(f.of(rotatortest.OpVerify))

		mustFind(t, f.verify(t, true), rotator.StateOK, true, "current again that Mailu holds")

		f.mustAgree(t, 1, "first")
		if n := len(f.of(rotatortest.OpVerify)) - asked; n != 3 { // the current one, the former one, and before the commit
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

				f.run(t, sweep.Selection{All: true})
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
		report := f.run(t, sweep.Selection{All: true})

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

func TestAnImproperPasswordIsNoUncertainPush(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.leaveWith(t, 1, "with newline\n")

		f.run(t, sweep.Selection{PendingOnly: true})

		if told, asked := f.told(rotator.PushUncertain), f.of(rotatortest.OpVerify); len(told) != 0 || len(asked) != 1 || f.mailu.Sets() != 0 {
			t.Errorf("told %v, asked %d times, %d pushes", told, len(asked), f.mailu.Sets())
		}
	})
}

// KV v2 may keep more versions than a repair reads.
func TestARepairSearchesFiftyVersions(t *testing.T) {
	for versions, want := range map[int]string{52: "wanted", 53: "later"} {
		inFleet(t, func(t *testing.T, f *fleet) {
			f.sealed(t, 1, "wanted") // in version 2
			f.setCurrent(t, 1, "later")
			for n := range versions - 3 {
				f.edit(1, func(fields map[string]any) { fields["note"] = n })
			}

			f.verify(t, true)

			f.mustAgree(t, 1, want)
		})
	}
}
