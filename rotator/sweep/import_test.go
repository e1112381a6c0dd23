package sweep_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

func (f *fleet) registry() rotatortest.Creator {
	return rotatortest.Creator{Store: f.store, Mailu: f.mailu}
}

// asking is an addition of tenant n with its id.
func asking(n int, edits ...func(*sweep.Addition)) sweep.Addition {
	a := sweep.Addition{Tenant: tenant(n), Username: userOf(n), WebmailURL: string(serverA) + "/webmail"}
	for _, edit := range edits {
		edit(&a)
	}
	return a
}

func unnamed(a *sweep.Addition) { a.Tenant = "" }

func atB(a *sweep.Addition) { a.WebmailURL = string(serverB) }

func onLine(n int) func(*sweep.Addition) { return func(a *sweep.Addition) { a.Line = n } }

func (f *fleet) adds(t *testing.T, additions ...sweep.Addition) sweep.Report {
	t.Helper()
	report, err := f.sweep.Add(t.Context(), f.registry(), additions, true)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func (f *fleet) mustBeTenants(t *testing.T, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		fields, _ := f.store.Get(string(tenant(n)))
		if fields["password"] == nil || fields["pending"] != nil || fields["created_at"] == nil || !strings.HasPrefix(f.mailu.Password(userOf(n)), "password ") {
			t.Errorf("tenant %d: Mailu accepts %q, Vault holds %v", n, f.mailu.Password(userOf(n)), fields)
		}
	}
}

func TestAdditionsGoThroughTheirServersLanes(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.fault = slow(time.Second)
		f.mailu.AddUser(userOf(1), "old password")

		report := f.adds(t, asking(1), asking(2), asking(3, atB), asking(4), asking(5))

		mustEnd(t, report, "1 added, 2 added, 3 added, 4 added, 5 added")
		f.mustBeTenants(t, 1, 2, 3, 4, 5)
		if report.Rows[0].Reason != "took over the user in Mailu" || report.Rows[1].Reason != "created the user in Mailu" {
			t.Errorf("reasons %q and %q", report.Rows[0].Reason, report.Rows[1].Reason)
		}
		first, second := f.of(rotatortest.OpWrite, 1), f.of(rotatortest.OpCreate, 2)
		if second[0].at < first[0].at {
			t.Error("the canary did not go alone")
		}
		if n := len(f.told(rotator.AdditionPlanned)); n != 1 || f.told(rotator.AdditionPlanned)[0].Count != 5 {
			t.Errorf("planned %d times", n)
		}
		if len(f.told(rotator.UserTakenOver)) != 1 || len(f.told(rotator.UserCreated)) != 4 {
			t.Error("the events do not say who was created")
		}
	})
}

func TestAFaultInBetweenIsTriedAgainWithTheSamePassword(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		lost := 1
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpCreateUser && lost > 0 {
				lost--
				return rotatortest.Fault{Before: rotatortest.ErrLost}
			}
			return rotatortest.Fault{}
		}

		report := f.adds(t, asking(1))

		mustEnd(t, report, "1 added")
		f.mustBeTenants(t, 1)
		if f.made != 1 {
			t.Errorf("%d passwords", f.made)
		}
	})
}

func TestAnAdditionThatIsRunAgainDoesOnlyWhatIsMissing(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.fault = failing(fmt.Errorf("no: %w", rotator.ErrRefused), 2)
		mustEnd(t, f.adds(t, asking(1), asking(2), asking(3)), "1 added, 2 failed, 3 added")
		f.fault = nil

		report := f.adds(t, asking(1), asking(2), asking(3))

		mustEnd(t, report, "1 fresh, 2 added, 3 fresh")
		f.mustBeTenants(t, 1, 2, 3)
		if f.made != 3 {
			t.Errorf("%d passwords", f.made)
		}
	})
}

func TestANewTenantGetsAnIdOfItsOwnAndKeepsIt(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.fault = rotatortest.On(rotatortest.OpCreateUser, rotatortest.Fault{Before: fmt.Errorf("no: %w", rotator.ErrRefused)})
		first := f.adds(t, asking(1, unnamed))
		f.fault = nil

		second := f.adds(t, asking(1, unnamed))
		third := f.adds(t, asking(1, unnamed))

		if first.Rows[0].Outcome != rotator.Unfinished || second.Rows[0].Outcome != rotator.Added || third.Rows[0].Outcome != rotator.Fresh {
			t.Fatalf("got %+v, %+v, %+v", first.Rows, second.Rows, third.Rows)
		}
		if _, err := rotator.ParseTenantID(first.Rows[0].Tenant); err != nil || second.Rows[0].Tenant != first.Rows[0].Tenant || third.Rows[0].Tenant != first.Rows[0].Tenant {
			t.Errorf("ids %q, %q, %q", first.Rows[0].Tenant, second.Rows[0].Tenant, third.Rows[0].Tenant)
		}
	})
}

func TestWhatAnAdditionIsToldByTheFleet(t *testing.T) {
	tests := []struct {
		name    string
		arrange func(*testing.T, *fleet)
		ask     sweep.Addition
		want    rotator.Outcome
		reason  string
	}{
		{"a new one", nil, asking(7), rotator.Planned, "to be added; its user in Mailu is taken over, or created"},
		{"a new one without an id", nil, asking(7, unnamed), rotator.Planned, "to be added"},
		{"there", nil, asking(1), rotator.Fresh, "is a tenant already"},
		{"there, without an id", nil, asking(1, unnamed), rotator.Fresh, "is a tenant already"},
		{"there, in other letters", nil, asking(1, unnamed, func(a *sweep.Addition) { a.Username = "ADMIN@1.example" }), rotator.Fresh, "is a tenant already"},
		{"there, under another policy", nil, asking(1, func(a *sweep.Addition) { a.Policy = "manual" }), rotator.Fresh, "left as it is: rotation_policy is not set"},
		{"the same user on another server", nil, asking(1, unnamed, atB), rotator.Planned, "to be added"},
		{"the id of another user", nil, asking(1, func(a *sweep.Addition) { a.Username = userOf(7) }), rotator.Invalid, "its record names another user, admin@1.example"},
		{"the user of another id", nil, asking(7, func(a *sweep.Addition) { a.Username = userOf(1) }), rotator.Invalid, "tenant " + string(tenant(1)) + " has the user admin@1.example"},
		{"a user of two", func(_ *testing.T, f *fleet) {
			f.add(serverA, 2)
			f.store.Edit(string(tenant(2)), func(fields map[string]any) { fields["username"] = userOf(1) })
		}, asking(1), rotator.Invalid, "2 tenants name the user"},
		{"deleted", func(_ *testing.T, f *fleet) { f.store.Delete(string(tenant(1))) }, asking(1), rotator.Invalid, "`vault kv metadata delete`"},
		{"malformed, of the same user", func(_ *testing.T, f *fleet) {
			f.store.Edit(string(tenant(1)), func(fields map[string]any) { fields["rotation_policy"] = "soon" })
		}, asking(1), rotator.Invalid, "malformed record"},
		{"malformed, of nobody", func(_ *testing.T, f *fleet) {
			f.store.Edit(string(tenant(1)), func(fields map[string]any) { delete(fields, "username") })
		}, asking(1), rotator.Invalid, "there is a record of that id: malformed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1)
				if test.arrange != nil {
					test.arrange(t, f)
				}

				report, err := dry(f.sweep).Add(t.Context(), nil, []sweep.Addition{test.ask}, false)

				if err != nil {
					t.Fatal(err)
				}
				if row := report.Rows[0]; row.Outcome != test.want || !strings.Contains(row.Reason, test.reason) || !report.DryRun || f.store.Writes() != 0 {
					t.Errorf("got %s: %s", row.Outcome, row.Reason)
				}
			})
		})
	}
}

func TestEverythingImproperIsSaidBeforeAnythingIsDone(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)

		_, err := f.sweep.Add(t.Context(), f.registry(), []sweep.Addition{
			asking(2, onLine(2)),
			asking(3, onLine(3), func(a *sweep.Addition) { a.Username, a.WebmailURL = "nobody", "ftp://x" }),
			asking(4, onLine(4), func(a *sweep.Addition) { a.Tenant = "../x" }),
			asking(5, onLine(5), func(a *sweep.Addition) { a.WebmailURL = "https://elsewhere.example" }),
			asking(6, onLine(6), func(a *sweep.Addition) { a.Username = strings.ToUpper(userOf(2)) }),
			asking(2, onLine(7), func(a *sweep.Addition) { a.Username = userOf(7) }),
			asking(8, onLine(8), func(a *sweep.Addition) { a.Policy = "weekly" }),
		}, false)

		if err == nil || strings.Contains(err.Error(), "line 2:") || strings.Contains(err.Error(), "malformed record") {
			t.Errorf("got %v", err)
		}
		for _, complaint := range []string{
			`line 3: user "nobody" is not an e-mail address that Mailu can have: it is not of the form user@domain; webmail_url: not an http`, `line 4: "../x" is not a tenant id`,
			"line 5: https://elsewhere.example: origin not listed", "line 6: user ADMIN@2.EXAMPLE on https://mail.a.example is on line 2 already",
			"line 7: tenant " + string(tenant(2)) + " is on line 2 already", `line 8: policy "weekly"`,
		} {
			if err != nil && !strings.Contains(err.Error(), complaint) {
				t.Errorf("got %v, want %q", err, complaint)
			}
		}
		if len(f.calls) != 0 {
			t.Errorf("%d calls were made", len(f.calls))
		}
	})
}

func TestNothingIsAddedBesideARecordThatCannotBeRead(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.fault = rotatortest.On(rotatortest.OpRead, rotatortest.Fault{Before: fmt.Errorf("403: %w", rotator.ErrForbidden)})

		_, err := f.sweep.Add(t.Context(), f.registry(), []sweep.Addition{asking(2)}, false)

		if !errors.Is(err, rotator.ErrForbidden) || !strings.Contains(err.Error(), "tenant "+string(tenant(1))+" may have the same user") || f.store.Writes() != 0 {
			t.Errorf("got %v", err)
		}
	})
}

func TestTheFirstTenantHasToBeCalledThat(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		_, err := f.sweep.Add(t.Context(), f.registry(), []sweep.Addition{asking(1)}, false)
		if !errors.Is(err, rotator.ErrNoTenants) || !strings.HasSuffix(err.Error(), "if this is to be the first tenant, say so with --first") {
			t.Errorf("got %v", err)
		}

		mustEnd(t, f.adds(t, asking(1)), "1 added")
	})
}

// A sweep never creates a user, and writes no version for a missing one.
func TestASweepThatMeetsAnAdditionWithoutAUserLeavesItAlone(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.fault = rotatortest.On(rotatortest.OpCreateUser, rotatortest.Fault{Before: fmt.Errorf("no: %w", rotator.ErrRefused)})
		f.adds(t, asking(1))
		f.fault = nil
		_, version := f.store.Get(string(tenant(1)))

		report := f.run(t, sweep.Selection{All: true})

		mustEnd(t, report, "1 unfinished")
		if reason := report.Rows[0].Reason; !strings.Contains(reason, "unknown user") || !strings.Contains(reason, "`mailu-rotator tenant add` again") {
			t.Errorf("reason %q", reason)
		}
		if _, now := f.store.Get(string(tenant(1))); now != version || f.mailu.Password(userOf(1)) != "" {
			t.Errorf("version %d, was %d; Mailu accepts %q", now, version, f.mailu.Password(userOf(1)))
		}
	})
}

func TestAdditionsWithoutAUserAreNoFaultOfTheServer(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.fault = rotatortest.On(rotatortest.OpCreateUser, rotatortest.Fault{Before: fmt.Errorf("no: %w", rotator.ErrRefused)})
		f.adds(t, asking(1), asking(2), asking(3), asking(4))
		f.fault = nil
		f.add(serverA, 5)

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "1 unfinished, 2 unfinished, 3 unfinished, 4 unfinished, 5 rotated")
	})
}

func TestASweepFinishesAnAdditionWhoseUserIsThere(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.mailu.AddUser(userOf(1), "by hand")
		f.fault = rotatortest.On(rotatortest.OpSetPassword, rotatortest.Fault{Before: fmt.Errorf("no: %w", rotator.ErrRefused)})
		f.adds(t, asking(1))
		f.fault = nil

		mustEnd(t, f.run(t, sweep.Selection{}), "1 finished")

		f.mustBeTenants(t, 1)
	})
}

func TestAVerificationAsksAboutThePendingPasswordOfAnAddition(t *testing.T) {
	for _, test := range []struct {
		name   string
		user   bool
		repair bool
		want   rotator.State
		reason string
	}{
		{"user not taken over yet", true, false, rotator.StatePending, "half-finished addition by this process"},
		{"finished by the repair", true, true, rotator.StateOK, "finished the half-finished rotation"},
		{"no user", false, true, rotator.StateUnknownUser, "`mailu-rotator tenant add` again"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				if test.user {
					f.mailu.AddUser(userOf(1), "by hand")
				}
				refused := rotatortest.Fault{Before: fmt.Errorf("no: %w", rotator.ErrRefused)}
				f.fault = func(c rotatortest.Call) rotatortest.Fault {
					if c.Op == rotatortest.OpSetPassword && test.user || c.Op == rotatortest.OpCreateUser {
						return refused
					}
					return rotatortest.Fault{}
				}
				f.adds(t, asking(1))
				f.fault = nil

				found := f.verify(t, test.repair).Findings[0]

				if found.State != test.want || !strings.Contains(found.Reason, test.reason) {
					t.Errorf("got %s: %s", found.State, found.Reason)
				}
			})
		})
	}
}

func TestARollbackNeverGoesBackToBeforeTheFirstPassword(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.adds(t, asking(1))

		_, newest := f.sweep.Rollback(t.Context(), string(tenant(1)), 0)
		_, first := f.sweep.Rollback(t.Context(), string(tenant(1)), 1)

		if newest == nil || !strings.Contains(newest.Error(), "the history of the record has no other password") {
			t.Errorf("got %v", newest)
		}
		if first == nil || !strings.Contains(first.Error(), "version 1 has no password yet: the tenant was being added") {
			t.Errorf("got %v", first)
		}
	})
}

func TestNewTenantIDsAreTenantIDs(t *testing.T) {
	seen := map[rotator.TenantID]bool{}
	for n := range 1000 {
		for _, user := range []rotator.Address{"admin@a.example", "admin@b.example"} {
			id := rotator.NewTenantID(user, n)
			if _, err := rotator.ParseTenantID(string(id)); err != nil || seen[id] || id != rotator.NewTenantID(user, n) {
				t.Fatalf("%q: %v, seen %t", id, err, seen[id])
			}
			seen[id] = true
		}
	}
}

// Each addition rewrites its claim once, which is no take-over.
func TestAnAdditionsOwnClaimIsNoTakeover(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.fault = whileAsked(rotatortest.OpVerify, rotator.ErrUnverifiable, 1)

		report := f.adds(t, asking(1))

		mustEnd(t, report, "1 unfinished")
		fields, _ := f.store.Get(string(tenant(1)))
		if pending := fields["pending"].(map[string]any); pending["takeovers"] != nil || pending["admitted"] != true {
			t.Errorf("pending is %v", pending)
		}
	})
}
