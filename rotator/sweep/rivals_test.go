package sweep_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// oneMailu is two origins that lead to one API.
var oneMailu = map[rotator.Origin]string{serverA: "admin.example", serverB: "admin.example"}

// rivals are ways to name tenant 2's user in another tenant's record.
var rivals = map[string]func(f *fleet, fields map[string]any){
	"the same words": func(_ *fleet, fields map[string]any) { fields["username"] = "admin@xn--bcher-kva.example" },
	"another case":   func(_ *fleet, fields map[string]any) { fields["username"] = "ADMIN@xn--bcher-KVA.example" },
	"a domain in Unicode": func(_ *fleet, fields map[string]any) {
		fields["username"] = "admin@bücher.example"
	},
	"another name of the server": func(f *fleet, fields map[string]any) {
		f.mailu.APIs = oneMailu
		fields["username"], fields["webmail_url"] = "Admin@bücher.example", string(serverB)
	},
	"another scheme and port of the server": func(f *fleet, fields map[string]any) {
		f.mailu.Origins = append(f.mailu.Origins, "http://mail.a.example")
		fields["username"], fields["webmail_url"] = "admin@xn--bcher-kva.example", "http://mail.a.example"
	},
	"a name of the server that is not listed": func(_ *fleet, fields map[string]any) {
		fields["username"], fields["webmail_url"] = "admin@xn--bcher-kva.example", "http://mail.a.example:443/webmail"
	},
}

// commands push to tenant 1's user, unless they find its duplicate.
var commands = map[string]func(t *testing.T, f *fleet) error{
	"--run-now": func(t *testing.T, f *fleet) error {
		_, err := f.sweep.Run(t.Context(), sweep.Selection{All: true}, 0)
		return err
	},
	"--run-now, brief": func(t *testing.T, f *fleet) error {
		f.sweep.OmitUnchanged = true
		_, err := f.sweep.Run(t.Context(), sweep.Selection{All: true}, 0)
		return err
	},
	"--run-now --tenant": func(t *testing.T, f *fleet) error {
		_, err := f.sweep.Run(t.Context(), sweep.Selection{All: true, Tenants: []rotator.TenantID{tenant(1)}}, 0)
		return err
	},
	"--run-now --server": func(t *testing.T, f *fleet) error {
		_, err := f.sweep.Run(t.Context(), sweep.Selection{All: true, Origins: f.mailu.Origins[:1]}, 0)
		return err
	},
	"--run-now --limit": func(t *testing.T, f *fleet) error {
		_, err := f.sweep.Run(t.Context(), sweep.Selection{All: true, Limit: 1}, 0)
		return err
	},
	"a daemon's sweep": func(t *testing.T, f *fleet) error {
		_, err := f.sweep.Run(t.Context(), sweep.Selection{}, 0)
		return err
	},
	"a daemon's start": func(t *testing.T, f *fleet) error {
		f.leave(t, 1, "somebody", time.Now().Add(-time.Hour))
		_, err := f.sweep.Run(t.Context(), sweep.Selection{PendingOnly: true}, 0)
		return err
	},
	"verify --repair": func(t *testing.T, f *fleet) error {
		_, err := f.sweep.Verify(t.Context(), sweep.Selection{}, true)
		return err
	},
	"verify --repair --tenant": func(t *testing.T, f *fleet) error {
		_, err := f.sweep.Verify(t.Context(), sweep.Selection{Tenants: []rotator.TenantID{tenant(1)}}, true)
		return err
	},
	"verify --repair of a half-finished rotation": func(t *testing.T, f *fleet) error {
		f.leave(t, 1, "somebody", time.Now().Add(-time.Hour))
		_, err := f.sweep.Verify(t.Context(), sweep.Selection{Tenants: []rotator.TenantID{tenant(1)}}, true)
		return err
	},
	"rollback": func(t *testing.T, f *fleet) error {
		if _, err := f.sweep.Rollback(t.Context(), string(tenant(1)), 2); err == nil || !strings.Contains(err.Error(), "2 tenants name the user") {
			t.Errorf("rolled back: %v", err)
		}
		return nil
	},
}

// Whatever runs, and however the other record names the user: as long as two tenants
// have one user, neither is pushed to.
func TestNoCommandPushesToAUserOfTwoTenants(t *testing.T) {
	for rival, edit := range rivals {
		for command, run := range commands {
			t.Run(command+", "+rival, func(t *testing.T) {
				inFleet(t, func(t *testing.T, f *fleet) {
					const user = "admin@xn--bcher-kva.example"
					f.sealed(t, 1, "of tenant 1")
					f.setCurrent(t, 1, "later of tenant 1")
					f.sealed(t, 2, "of tenant 2")
					f.store.Edit(string(tenant(1)), func(fields map[string]any) { edit(f, fields) })
					f.store.Edit(string(tenant(2)), func(fields map[string]any) { fields["username"] = user })
					f.mailu.AddUser(user, "of tenant 2")
					if rival == "a name of the server that is not listed" { // then the listed one is tried
						swap(f, 1, 2)
					}

					if err := run(t, f); err != nil {
						t.Fatal(err)
					}

					if f.mailu.Password(user) != "of tenant 2" || len(f.of(rotatortest.OpSetPassword)) != 0 {
						t.Errorf("Mailu holds %q after %d pushes", f.mailu.Password(user), len(f.of(rotatortest.OpSetPassword)))
					}
				})
			})
		}
	}
}

// swap exchanges two tenants' users.
func swap(f *fleet, a, b int) {
	first, _ := f.store.Get(string(tenant(a)))
	second, _ := f.store.Get(string(tenant(b)))
	for _, field := range []string{"username", "webmail_url"} {
		f.store.Edit(string(tenant(a)), func(fields map[string]any) { fields[field] = second[field] })
		f.store.Edit(string(tenant(b)), func(fields map[string]any) { fields[field] = first[field] })
	}
}

func TestOneAddressOnTwoMailusIsTwoUsers(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.add(serverB, 3)
		f.store.Edit(string(tenant(3)), func(fields map[string]any) { fields["username"] = userOf(2) })

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "1 rotated, 2 rotated, 3 rotated")
	})
}

func TestRivalsUnderTwoNamesAreToldWhereTheyMeet(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.add(serverB, 2)
		f.mailu.APIs = oneMailu
		f.store.Edit(string(tenant(2)), func(fields map[string]any) { fields["username"] = strings.ToUpper(userOf(1)) })

		report := f.run(t, sweep.Selection{})
		e, err := f.sweep.Examine(t.Context(), nil)

		mustEnd(t, report, "1 invalid, 2 invalid")
		const want = "2 tenants name the user ADMIN@1.EXAMPLE on " + string(serverB) + " (its API is at admin.example) and would lock each other out"
		if reason := report.Rows[1].Reason; !strings.Contains(reason, want) {
			t.Errorf("got %q", reason)
		}
		if err != nil || len(e.Issues) != 2 || e.Issues[0].Kind != rotator.IssueShared {
			t.Errorf("doctor finds %v, %v", e.Issues, err)
		}
	})
}

func TestRivalsOfOneServerAreNotToldWhereItsAPIIs(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.edit(2, func(fields map[string]any) { fields["username"] = userOf(1) })

		report := f.run(t, sweep.Selection{})

		if reason := report.Rows[0].Reason; !strings.Contains(reason, "on "+string(serverA)+" and would") {
			t.Errorf("got %q", reason)
		}
	})
}

func TestRecordsWithoutAUserAreNoRivals(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		for n := range 2 {
			f.edit(n+1, func(fields map[string]any) { delete(fields, "username") })
		}

		for _, finding := range f.verify(t, false).Findings {
			if strings.Contains(finding.Reason, "tenants name the user") {
				t.Errorf("got %q", finding.Reason)
			}
		}
	})
}

// A restricted run uses the records of other tenants only to find duplicates.
func TestNarrowedRunIsAboutItsTenantsAlone(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3, 4, 5)
		f.add(serverB, 6)
		f.store.Edit(string(tenant(4)), func(fields map[string]any) { fields["username"] = userOf(5) }) // duplicates, but outside the run
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpRead && c.Tenant == tenant(3) {
				return rotatortest.Fault{Before: rotatortest.ErrLost}
			}
			return rotatortest.Fault{}
		}
		named := sweep.Selection{All: true, Tenants: []rotator.TenantID{tenant(2), tenant(99)}}

		verification, err := f.sweep.Verify(t.Context(), named, true)
		report := f.run(t, named)
		onServer := f.run(t, sweep.Selection{All: true, Origins: []rotator.Origin{serverB}})

		if err != nil || len(verification.Findings) != 2 {
			t.Errorf("verified %v, %v", verification.Findings, err)
		}
		mustEnd(t, report, "2 rotated, 99 invalid")
		mustEnd(t, onServer, "6 rotated, 3 failed") // its record may name that server
		for _, e := range f.told(rotator.TenantSkipped) {
			if e.Tenant != string(tenant(99)) && e.Tenant != string(tenant(3)) {
				t.Errorf("told of %s", e.Tenant)
			}
		}
	})
}

// Tenants that may share a user with a record that could be read only once must wait;
// other duplicates are unaffected.
func TestRivalThatIsReadOnceIsHeldAgainstItsOwnUserOnly(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3, 4)
		f.edit(2, func(fields map[string]any) { fields["username"] = userOf(1) })
		f.edit(4, func(fields map[string]any) { fields["username"] = userOf(3) })
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpRead && c.Tenant == tenant(1) && len(f.of(rotatortest.OpRead, 1)) == 2 {
				return rotatortest.Fault{Before: rotatortest.ErrLost}
			}
			return rotatortest.Fault{}
		}

		report := f.run(t, sweep.Selection{All: true, Tenants: []rotator.TenantID{tenant(2), tenant(4)}})

		for n, want := range map[int]string{2: "tenant " + string(tenant(1)) + " may have the same user", 4: "2 tenants name the user " + userOf(3)} {
			i := slices.IndexFunc(report.Rows, func(row sweep.Row) bool { return row.Tenant == string(tenant(n)) })
			if !strings.Contains(report.Rows[i].Reason, want) {
				t.Errorf("tenant %d: %q does not contain %q", n, report.Rows[i].Reason, want)
			}
		}
	})
}

func TestNarrowedRunRefusesAFleetThatItCannotList(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "of tenant 1")
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpList {
				return rotatortest.Fault{Before: rotator.ErrForbidden}
			}
			return rotatortest.Fault{}
		}
		named := sweep.Selection{All: true, Tenants: []rotator.TenantID{tenant(1)}}

		_, run := f.sweep.Run(t.Context(), named, 0)
		_, verify := f.sweep.Verify(t.Context(), named, true)
		_, rollback := f.sweep.Rollback(t.Context(), string(tenant(1)), 0)
		_, reseal := f.sweep.Reseal(t.Context(), named)

		for _, err := range []error{run, verify, rollback} {
			if !errors.Is(err, rotator.ErrForbidden) || !strings.Contains(err.Error(), "list tenants") {
				t.Errorf("got %v", err)
			}
		}
		if reseal != nil { // which pushes nothing
			t.Errorf("got %v", reseal)
		}
		if f.mailu.Sets() != 0 {
			t.Error("a password was pushed")
		}
	})
}

func TestNamedTenantInAnEmptyStoreIsReported(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpList {
				return rotatortest.Fault{Before: rotator.ErrNoTenants}
			}
			return rotatortest.Fault{}
		}

		report := f.run(t, sweep.Selection{All: true, Tenants: []rotator.TenantID{tenant(1)}})

		mustEnd(t, report, "1 invalid")
	})
}

// A deleted record names no user in a scan.
func TestDeletedRecordWhoseUserHasAnotherTenantStaysDeleted(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "of tenant 1")
		f.store.Delete(string(tenant(1)))
		f.add(serverA, 2)
		f.store.Edit(string(tenant(2)), func(fields map[string]any) { fields["username"] = strings.ToUpper(userOf(1)) })
		f.mailu.AddUser(userOf(1), "of tenant 1")

		v, err := f.sweep.Verify(t.Context(), sweep.Selection{Tenants: []rotator.TenantID{tenant(1)}}, true)

		if err != nil || v.Findings[0].Repaired || !strings.Contains(v.Findings[0].Reason, "2 tenants name the user") {
			t.Errorf("got %+v, %v", v.Findings, err)
		}
		if fields, _ := f.store.Get(string(tenant(1))); fields != nil {
			t.Error("it was brought back")
		}
	})
}

// The plan is about the user that a record named when it was made.
func TestUserThatChangesBetweenTwoAttemptsIsNotPushedTo(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.mailu.AddUser("new@1.example", "of somebody")
		f.fault = once(rotatortest.OpKnows, 1, rotatortest.Fault{Before: rotatortest.ErrLost}, func() {
			f.store.Edit(string(tenant(1)), func(fields map[string]any) { fields["username"] = "new@1.example" })
		})

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "1 failed, 2 rotated")
		if !strings.Contains(report.Rows[0].Reason, "user or server of the record changed") || f.mailu.Password("new@1.example") != "of somebody" {
			t.Errorf("%s", report.Rows[0].Reason)
		}
	})
}

// once is a fault of the first such call about a user, and calls what within it.
func once(op rotatortest.Op, user int, fault rotatortest.Fault, what func()) rotatortest.Hook {
	done := false
	return func(c rotatortest.Call) rotatortest.Fault {
		if c.Op != op || c.User != userOf(user) || done {
			return rotatortest.Fault{}
		}
		done = true
		what()
		return fault
	}
}

// The record was read, then renamed, then read again: its new user is not in the plan
// either.
func TestDriftOfAUserThatChangedIsComparedWithAllTenants(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "of tenant 1")
		f.sealed(t, 2, "of tenant 2")
		f.mailu.AddUser(userOf(1), "of somebody")
		f.fault = once(rotatortest.OpVerify, 1, rotatortest.Fault{}, func() {
			f.store.Edit(string(tenant(1)), func(fields map[string]any) { fields["username"] = userOf(2) })
		})

		v := f.verify(t, true)

		if v.Findings[0].Repaired || f.mailu.Password(userOf(2)) != "of tenant 2" {
			t.Errorf("got %+v", v.Findings[0])
		}
	})
}

func TestDoctorWarnsOfOneAddressOnTwoServers(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.add(serverB, 3)
		f.store.Edit(string(tenant(3)), func(fields map[string]any) { fields["username"] = strings.ToUpper(userOf(2)) })

		e, err := f.sweep.Examine(t.Context(), nil)

		if err != nil || e.WellFormed != 3 || len(e.Issues) != 2 {
			t.Fatalf("%+v, %v", e, err)
		}
		for i, n := range []int{2, 3} {
			if flaw := e.Issues[i]; flaw.Kind != rotator.IssueOneAddress || flaw.Kind.Serious() || flaw.Tenant != string(tenant(n)) || !strings.Contains(flaw.Reason, userOf(2)) {
				t.Errorf("%+v", flaw)
			}
		}
	})
}
