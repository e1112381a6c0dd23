package sweep_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// sealed puts a tenant on server A whose current password opens, and gives Mailu the
// same password.
func (f *fleet) sealed(t *testing.T, n int, password string) {
	t.Helper()
	f.add(serverA, n)
	f.setCurrent(t, n, password)
	f.mailu.AddUser(userOf(n), password)
}

// setCurrent makes password the record's current one, as a new version.
func (f *fleet) setCurrent(t *testing.T, n int, password string) {
	t.Helper()
	f.store.Edit(string(tenant(n)), func(fields map[string]any) {
		fields["password"] = f.seal(t, n, fields["last_rotated"].(string), password)
	})
}

func (f *fleet) seal(t *testing.T, n int, lastRotated, password string) string {
	t.Helper()
	sealed, err := crypto.Seal(f.ring(t).Newest(), crypto.Binding{TenantID: string(tenant(n)), LastRotated: lastRotated}, crypto.SecretFromString(password))
	if err != nil {
		t.Fatal(err)
	}
	return string(sealed)
}

func (f *fleet) ring(t *testing.T) *crypto.Keyring {
	t.Helper()
	ring, err := crypto.NewKeyring(map[crypto.KeyVersion][]byte{1: make([]byte, crypto.KeySize)})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func (f *fleet) verify(t *testing.T, repair bool) sweep.VerifyReport {
	t.Helper()
	v, err := f.sweep.Verify(t.Context(), sweep.Selection{}, repair)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// mustAgree fails unless Mailu accepts Vault's current password, which must be want,
// and nothing is pending.
func (f *fleet) mustAgree(t *testing.T, n int, want string) {
	t.Helper()
	fields, _ := f.store.Get(string(tenant(n)))
	opened, err := f.ring(t).Open(1, crypto.Binding{TenantID: string(tenant(n)), LastRotated: fields["last_rotated"].(string)}, crypto.SealedPassword(fields["password"].(string)))
	if err != nil {
		t.Fatal(err)
	}
	if held := f.mailu.Password(userOf(n)); opened.RevealString() != want || held != want || fields["pending"] != nil {
		t.Fatalf("Vault holds %q (pending %v), Mailu %q, want %q", opened.RevealString(), fields["pending"] != nil, held, want)
	}
}

func TestVerificationNamesEveryState(t *testing.T) {
	tests := []struct {
		name    string
		arrange func(*testing.T, *fleet)
		want    rotator.State
		problem bool
	}{
		{"accepted", func(*testing.T, *fleet) {}, rotator.StateOK, false},
		{"changed in Mailu", func(_ *testing.T, f *fleet) { f.mailu.AddUser(userOf(1), "by hand") }, rotator.StateDrift, true},
		{"half-finished, Mailu holds the pending one", func(t *testing.T, f *fleet) {
			f.leave(t, 1, "a dead process", f.began)
			f.mailu.AddUser(userOf(1), "pending password")
		}, rotator.StatePending, true},
		{"half-finished, Mailu holds the current one", func(t *testing.T, f *fleet) { f.leave(t, 1, "a dead process", f.began) }, rotator.StatePending, true},
		{"under way", func(t *testing.T, f *fleet) { f.leave(t, 1, "another process", f.began.Add(time.Hour)) }, rotator.StatePending, false},
		{"half-finished, Mailu holds neither", func(t *testing.T, f *fleet) {
			f.leave(t, 1, "a dead process", f.began)
			f.mailu.AddUser(userOf(1), "by hand")
		}, rotator.StateDrift, true},
		{"altered", func(_ *testing.T, f *fleet) {
			f.store.Edit(string(tenant(1)), func(fields map[string]any) { fields["last_rotated"] = "2020-01-01T00:00:00Z" })
		}, rotator.StateUnreadable, true},
		{"malformed", func(_ *testing.T, f *fleet) {
			f.store.Edit(string(tenant(1)), func(fields map[string]any) { delete(fields, "username") })
		}, rotator.StateUnreadable, true},
		{"deleted", func(_ *testing.T, f *fleet) { f.store.Delete(string(tenant(1))) }, rotator.StateUnreadable, true},
		{"no answer", func(_ *testing.T, f *fleet) {
			f.fault = rotatortest.On(rotatortest.OpVerify, rotatortest.Fault{Before: rotatortest.ErrLost})
		}, rotator.StateUnreachable, true},
		{"no such user", func(_ *testing.T, f *fleet) {
			f.fault = rotatortest.On(rotatortest.OpVerify, rotatortest.Fault{Before: errors.Join(rotator.ErrUnknownUser, rotator.ErrUnverifiable)})
		}, rotator.StateUnknownUser, true},
		{"not asked", func(_ *testing.T, f *fleet) { f.mailu.Unverified = true }, rotator.StateUnproven, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.sealed(t, 1, "known")
				test.arrange(t, f)
				writes := f.store.Writes()

				v := f.verify(t, false)

				if got := v.Findings[0]; got.State != test.want || got.Problem() != test.problem {
					t.Errorf("%s (%s), problem %t; want %s, problem %t", got.State, got.Reason, got.Problem(), test.want, test.problem)
				}
				if f.store.Writes() != writes || f.mailu.Sets() != 0 {
					t.Error("a verification changed something")
				}
			})
		})
	}
}

func TestRepair(t *testing.T) {
	tests := []struct {
		name    string
		arrange func(*testing.T, *fleet)
		want    string // the password in Vault and Mailu
		how     string
	}{
		{"pushes Vault's password where nothing explains the drift", func(_ *testing.T, f *fleet) {
			f.mailu.AddUser(userOf(1), "by hand")
		}, "known", "pushed Vault's current password"},
		{"commits the pending password that Mailu holds", func(t *testing.T, f *fleet) {
			f.leave(t, 1, "a dead process", f.began)
			f.mailu.AddUser(userOf(1), "pending password")
		}, "pending password", "finished"},
		{"finishes a rotation that Mailu has not seen", func(t *testing.T, f *fleet) {
			f.leave(t, 1, "a dead process", f.began)
		}, "pending password", "finished"},
		{"finds a pending password that was overwritten", func(t *testing.T, f *fleet) {
			before, _ := f.store.Get(string(tenant(1)))
			f.leave(t, 1, "a dead process", f.began)
			f.mailu.AddUser(userOf(1), "pending password")
			f.store.Put(string(tenant(1)), before) // from an old copy
		}, "pending password", "current again that Mailu holds"},
		{"finds a former password that Mailu was set back to", func(t *testing.T, f *fleet) {
			f.setCurrent(t, 1, "newer")
		}, "known", "current again that Mailu holds"},
		{"brings back a deleted record", func(_ *testing.T, f *fleet) {
			f.store.Edit(string(tenant(1)), func(fields map[string]any) { fields["note"] = "one version more" })
			f.store.Delete(string(tenant(1)))
		}, "known", "brought back"},
		{"brings back a record deleted in mid-rotation", func(t *testing.T, f *fleet) {
			f.leave(t, 1, "a dead process", f.began)
			f.mailu.AddUser(userOf(1), "pending password")
			f.store.Edit(string(tenant(1)), func(fields map[string]any) { fields["note"] = "one version more" })
			f.store.Delete(string(tenant(1)))
		}, "pending password", "brought back"},
		{"brings back a record deleted before the push, at rest", func(t *testing.T, f *fleet) {
			f.leave(t, 1, "a dead process", f.began)
			f.store.Edit(string(tenant(1)), func(fields map[string]any) { fields["note"] = "one version more" })
			f.store.Delete(string(tenant(1)))
		}, "known", "brought back"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.sealed(t, 1, "known")
				test.arrange(t, f)

				v := f.verify(t, true)

				if got := v.Findings[0]; got.State != rotator.StateOK || !got.Repaired || !strings.Contains(got.Reason, test.how) {
					t.Fatalf("%s, repaired %t: %s; want %q", got.State, got.Repaired, got.Reason, test.how)
				}
				f.mustAgree(t, 1, test.want)
				if f.made != 0 {
					t.Error("a repair made a new password")
				}
			})
		})
	}
}

// The first version of a record has no earlier one.
func TestRepairAtVersionOne(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 2)
		fields, _ := f.store.Get(string(tenant(2)))
		fields["username"], fields["password"] = userOf(1), f.seal(t, 1, fields["last_rotated"].(string), "known")
		f.store.Put(string(tenant(1)), fields)
		f.mailu.AddUser(userOf(1), "by hand")

		v, err := f.sweep.Verify(t.Context(), sweep.Selection{Tenants: []rotator.TenantID{tenant(1)}}, true)

		if err != nil {
			t.Fatal(err)
		}
		mustFind(t, v, rotator.StateOK, true, "pushed Vault's current password")
		f.mustAgree(t, 1, "known")
	})
}

func TestRepairLeavesALiveClaimAlone(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.leave(t, 1, "another process", f.began.Add(time.Hour))
		writes := f.store.Writes()

		v := f.verify(t, true)

		if v.Findings[0].Repaired || f.store.Writes() != writes {
			t.Errorf("another process's rotation was touched: %+v", v.Findings[0])
		}
	})
}

func TestFailedRepairKeepsTheFinding(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.mailu.AddUser(userOf(1), "by hand")
		f.fault = rotatortest.On(rotatortest.OpSetPassword, rotatortest.Fault{Before: rotator.ErrRefused})

		v := f.verify(t, true)

		if got := v.Findings[0]; got.State != rotator.StateDrift || got.Repaired || !strings.Contains(got.Reason, "not repaired") {
			t.Errorf("%s, repaired %t: %s", got.State, got.Repaired, got.Reason)
		}
		if fields, _ := f.store.Get(string(tenant(1))); fields["pending"] != nil {
			t.Error("a refused repair left a pending password")
		}
	})
}

func TestRollbackBringsBackAnEarlierPassword(t *testing.T) {
	tests := []struct {
		name    string
		version int
		want    string
		fails   string
	}{
		{"the former one", 0, "second", ""},
		{"one by its version", 2, "first", ""},
		{"today's", 4, "third", "has today's password"},
		{"one that the history does not have", 9, "third", "version 9"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.sealed(t, 1, "first") // versions 1 and 2
				f.setCurrent(t, 1, "second")
				f.setCurrent(t, 1, "third")
				f.mailu.AddUser(userOf(1), "third")

				row, err := f.sweep.Rollback(t.Context(), string(tenant(1)), test.version)

				f.mustAgree(t, 1, test.want)
				switch {
				case test.fails == "" && (err != nil || row.Outcome != rotator.Restored):
					t.Errorf("%s: %v", row.Outcome, err)
				case test.fails != "" && (err == nil || !strings.Contains(err.Error(), test.fails)):
					t.Errorf("got %v, want %q", err, test.fails)
				}
			})
		})
	}
}

func TestRollbackFinishesWhatIsPendingFirst(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "first")
		f.leave(t, 1, "a dead process", f.began)

		_, err := f.sweep.Rollback(t.Context(), string(tenant(1)), 0)

		if err != nil {
			t.Fatal(err)
		}
		f.mustAgree(t, 1, "first")
	})
}

func TestALostCurrentPasswordBesideOneThatMailuLacks(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.leave(t, 1, "a dead process", f.began)
		f.edit(1, func(r map[string]any) { r["last_rotated"] = "today" })
		f.mailu.AddUser(userOf(1), "by hand")

		mustFind(t, f.verify(t, false), rotator.StateUnreadable, false, "the password does not open")
	})
}

func TestAVerificationThatCannotBeginIsNotInterrupted(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.fault = rotatortest.On(rotatortest.OpList, rotatortest.Fault{Before: rotator.ErrForbidden})

		_, err := f.sweep.Verify(t.Context(), sweep.Selection{}, false)

		if !errors.Is(err, rotator.ErrForbidden) || len(f.told(rotator.VerificationInterrupted)) != 0 {
			t.Errorf("got %v", err)
		}
	})
}

// While a rotation is half-finished it is finished first: no earlier password is
// recommended.
func TestNoEarlierPasswordIsAdvisedBesideAPendingOne(t *testing.T) {
	for name, pending := range map[string]bool{"at rest": false, "half-finished": true} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.sealed(t, 1, "known")
				f.edit(1, func(fields map[string]any) { fields["password"] = envelope(9) })
				if pending {
					f.leave(t, 1, "a dead process", f.began)
				}

				got := f.verify(t, false).Findings[0]

				if advised := strings.Contains(got.Reason, "the one of version"); got.State != rotator.StateUnreadable || advised == pending {
					t.Errorf("%s: %s", got.State, got.Reason)
				}
			})
		})
	}
}

// The record changed while Mailu's hash could not be checked: the finding is about the
// record as it is now.
func TestASecondLookForgetsTheFirst(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.fault = once(rotatortest.OpVerify, 1, rotatortest.Fault{Before: rotator.ErrUnverifiable}, func() {
			f.edit(1, func(fields map[string]any) { fields["note"] = "edited" })
		})

		got := f.verify(t, false).Findings[0]

		if got.State != rotator.StateOK || got.Unprovable || got.Reason != "" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestATenantElsewhereIsNotAskedAbout(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.edit(1, func(fields map[string]any) { fields["webmail_url"] = "https://unlisted.example" })

		got := f.verify(t, false).Findings[0]

		if got.State != rotator.StateUnreachable || !strings.Contains(got.Reason, rotator.ErrOriginNotListed.Error()) {
			t.Errorf("got %+v", got)
		}
	})
}
