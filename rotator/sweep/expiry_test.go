package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// expiring makes every version from now on expire after this time.
func (f *fleet) expiring(after time.Duration) { f.store.DeleteAfter = after }

func TestARecordThatDeletesItselfIsSaidEverywhere(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		name    string
		after   time.Duration
		policy  string // of 180 days if empty; tenant 1 is just rotated
		problem bool
	}{
		{"within the policy", 90 * day, "", true},
		{"with the policy", 180 * day, "", true},
		{"within the margin of failed nights", 187 * day, "", true},
		{"later", 187*day + time.Minute, "", false},
		{"never due", 10000 * day, "manual", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.expiring(test.after)
				f.sealed(t, 1, "known")
				f.edit(1, func(r map[string]any) {
					if test.policy != "" {
						r["rotation_policy"] = test.policy
					}
				})
				expires := time.Now().Add(test.after)
				f.run(t, sweep.Selection{All: true})
				says := "deletes itself at " + expires.UTC().Format("2006-01-02T15:04:05.000Z") + " (delete_version_after)"

				v := f.verify(t, false)
				found, errExamine := f.sweep.Examine(t.Context(), nil)
				all, now, errStatus := f.sweep.Status(t.Context(), sweep.Selection{})
				shown, errRecord := f.sweep.Record(t.Context(), string(tenant(1)))

				if err := errors.Join(errExamine, errStatus, errRecord); err != nil {
					t.Fatal(err)
				}
				mustFind(t, v, rotator.StateOK, false, says)
				if !strings.HasPrefix(v.Findings[0].Reason, "the record deletes itself") {
					t.Errorf("verification: %q", v.Findings[0].Reason)
				}
				if v.Findings[0].Problem() != test.problem || len(f.told(rotator.VerificationFinished)) != 1 {
					t.Errorf("verification: problem %t", v.Findings[0].Problem())
				}
				if len(found.Issues) != 1 || found.Issues[0].Kind.Serious() != test.problem || !strings.Contains(found.Issues[0].Reason, says) {
					t.Errorf("examination: %+v", found.Issues)
				}
				if s := all[0]; !strings.Contains(s.Expiry(), says) || s.Problem(now, nightly(t)) != test.problem || s.Vanishes() != test.problem {
					t.Errorf("status: %q, problem %t", s.Expiry(), s.Problem(now, nightly(t)))
				}
				if !shown.Credential.Expires.Equal(expires) {
					t.Errorf("the record shows %s", shown.Credential.Expires)
				}
			})
		})
	}
}

func TestARecordThatStaysSaysNothingOfIt(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")

		report := f.run(t, sweep.Selection{All: true})

		if report.Rows[0].Reason != "asked for" || len(f.told(rotator.RecordExpires)) != 0 {
			t.Errorf("row %q, %d warnings", report.Rows[0].Reason, len(f.told(rotator.RecordExpires)))
		}
		mustFind(t, f.verify(t, false), rotator.StateOK, false, "")
	})
}

func TestARotationIntoARecordThatDeletesItselfWarns(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.expiring(time.Hour)
		f.sealed(t, 1, "known")
		time.Sleep(30 * time.Minute)

		report := f.run(t, sweep.Selection{All: true})

		end := time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000Z") // of the last write
		if row := report.Rows[0]; row.Outcome != rotator.Rotated || !strings.Contains(row.Reason, "deletes itself at "+end) {
			t.Errorf("%s: %s, want %s", row.Outcome, row.Reason, end)
		}
		if told := f.told(rotator.RecordExpires); len(told) != 1 || told[0].Err == nil || told[0].Tenant != string(tenant(1)) {
			t.Errorf("warned %+v", told)
		}
	})
}

// Vault keeps an expired version until it is requested, and a write that was prepared
// before then restores the record.
func TestAPendingPasswordThatExpiresUnderARotationIsNotLost(t *testing.T) {
	tests := []struct {
		name  string
		fault func(*fleet) rotatortest.Hook
		dies  bool
	}{
		{"before the push", func(*fleet) rotatortest.Hook { return slow(2 * time.Second) }, false},
		{"after the push, before the commit", func(*fleet) rotatortest.Hook { return slowCall(rotatortest.OpVerify, 2*time.Second) }, false},
		{"and the process dies", func(*fleet) rotatortest.Hook {
			return rotatortest.On(rotatortest.OpVerify, rotatortest.Fault{Before: context.DeadlineExceeded})
		}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.sealed(t, 1, "known")
				f.expiring(time.Second)
				f.fault = test.fault(f)

				f.run(t, sweep.Selection{All: true})

				f.fault = nil
				if test.dies {
					time.Sleep(time.Hour)
					mustFind(t, f.verify(t, true), rotator.StateUnreadable, false, "deleted itself")
					f.expiring(0)
					_, version := f.store.Get(string(tenant(1)))
					f.store.Undelete(string(tenant(1)), version)
					mustFind(t, f.verify(t, true), rotator.StateOK, true, "finished")
				}
				f.mustAgree(t, 1, f.mailu.Password(userOf(1)))
				if f.mailu.Password(userOf(1)) == "known" {
					t.Error("nothing was rotated")
				}
			})
		})
	}
}

func TestADoctorTellsARecordThatDeletedItselfFromOneDeletedByHand(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		f.store.Delete(string(tenant(1)))
		f.expiring(time.Second)
		f.sealed(t, 2, "known")
		time.Sleep(time.Second)

		found, err := f.sweep.Examine(t.Context(), nil)

		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []rotator.IssueKind{rotator.IssueDeleted, rotator.IssueExpired} {
			if got := found.Issues[i]; got.Kind != want || got.Version != 2 || !got.Kind.Serious() {
				t.Errorf("%+v, want %s of version 2", got, want)
			}
		}
	})
}

// Deleted by hand, or by itself again after an undelete: a repair finds no version in
// either case.
func TestADoctorHasARecordUndeletedThatNoRepairFinds(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		for n := range 3 {
			name := string(tenant(n))
			f.store.Put(name, map[string]any{"password": "first"})
			switch n {
			case 1:
				f.store.Put(name, map[string]any{"password": "second"})
			case 2:
				f.store.Delete(name)
				f.store.Put(name, map[string]any{"password": "second"})
			}
			f.store.Delete(name)
		}

		found, err := f.sweep.Examine(t.Context(), nil)

		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []rotator.IssueKind{rotator.IssueExpired, rotator.IssueDeleted, rotator.IssueExpired} {
			if got := found.Issues[i]; got.Tenant != string(tenant(i)) || got.Kind != want {
				t.Errorf("%+v, want %s of tenant %d", got, want, i)
			}
		}
		if reads := len(f.of(rotatortest.OpRead, 0)); reads != 1 {
			t.Errorf("%d reads of a record that has one version, want 1", reads)
		}
	})
}

func TestADoctorSaysWhatAShortHistoryCannotDo(t *testing.T) {
	for kept, want := range map[int]string{0: "", 1: "Vault keeps 1 version of the record (max_versions)", 2: "Vault keeps 2 versions of the record (max_versions)", 3: ""} {
		t.Run(fmt.Sprint(kept), func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.store.MaxVersions = kept
				f.sealed(t, 1, "first")
				f.run(t, sweep.Selection{All: true})

				found, err := f.sweep.Examine(t.Context(), nil)

				if err != nil {
					t.Fatal(err)
				}
				switch {
				case want == "" && len(found.Issues) > 0:
					t.Errorf("got %+v", found.Issues)
				case want != "" && (len(found.Issues) != 1 || found.Issues[0].Kind.Serious() || !strings.HasPrefix(found.Issues[0].Reason, want)):
					t.Errorf("got %+v, want %q", found.Issues, want)
				}
			})
		})
	}
}

func TestDeletedVersionsAreNoShortHistory(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "first")
		f.edit(1, func(map[string]any) {})
		fields, _ := f.store.Get(string(tenant(1)))
		f.store.Delete(string(tenant(1)))
		f.store.Put(string(tenant(1)), fields)

		found, err := f.sweep.Examine(t.Context(), nil)

		if err != nil || len(found.Issues) != 0 {
			t.Errorf("got %+v, %v", found.Issues, err)
		}
	})
}
