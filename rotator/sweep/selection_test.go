package sweep_test

import (
	"slices"
	"strings"
	"testing"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// naming are the operations that take a tenant's name. Each returns the tenants that it
// was for.
var naming = map[string]func(*testing.T, *fleet, string) ([]string, error){
	"run": func(t *testing.T, f *fleet, name string) ([]string, error) {
		sel, err := selecting(name)
		if err != nil {
			return nil, err
		}
		sel.All = true
		report, err := f.sweep.Run(t.Context(), sel, 0)
		return tenantsOf(report), err
	},
	"verify": func(t *testing.T, f *fleet, name string) (tenants []string, _ error) {
		sel, err := selecting(name)
		if err != nil {
			return nil, err
		}
		v, err := f.sweep.Verify(t.Context(), sel, true)
		for _, finding := range v.Findings {
			tenants = append(tenants, finding.Tenant)
		}
		return tenants, err
	},
	"reseal": func(t *testing.T, f *fleet, name string) ([]string, error) {
		sel, err := selecting(name)
		if err != nil {
			return nil, err
		}
		report, err := f.sweep.Reseal(t.Context(), sel)
		return tenantsOf(report), err
	},
	"status": func(t *testing.T, f *fleet, name string) (tenants []string, _ error) {
		sel, err := selecting(name)
		if err != nil {
			return nil, err
		}
		all, _, err := f.sweep.Status(t.Context(), sel)
		for _, status := range all {
			tenants = append(tenants, status.Tenant)
		}
		return tenants, err
	},
	"show": func(t *testing.T, f *fleet, name string) ([]string, error) {
		record, err := f.sweep.Record(t.Context(), name)
		if err != nil {
			return nil, err
		}
		return []string{string(record.Credential.Tenant)}, nil
	},
	"rollback": func(t *testing.T, f *fleet, name string) ([]string, error) {
		row, err := f.sweep.Rollback(t.Context(), name, 0)
		if err != nil && strings.Contains(err.Error(), "the history of the record has no other password") {
			return []string{strings.Fields(err.Error())[3][:36]}, nil // the tenant is known
		}
		return []string{row.Tenant}, err
	},
}

func selecting(names ...string) (sel sweep.Selection, err error) {
	for _, name := range names {
		if err := sel.Select(name); err != nil {
			return sel, err
		}
	}
	return sel, nil
}

func tenantsOf(report sweep.Report) (tenants []string) {
	for _, row := range report.Rows {
		tenants = append(tenants, row.Tenant)
	}
	return tenants
}

// ids of the tenants of a fleet with names that look alike.
const (
	idOne   = "0f8fad5b-d9cb-4a9f-a165-70867728950e"
	idTwo   = "0f8fad5c-d9cb-4a9f-a165-70867728950e"
	idThree = "0F8FAD5C-d9cb-4a9f-a165-70867728950f"
	idFour  = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
	idFive  = "cafe6679-7425-40de-944b-e07fc1f90ae7"
)

func newAlikes(t *testing.T) *fleet {
	t.Helper()
	f := newFleet(t)
	users := map[string]string{idOne: "one@a.example", idTwo: "admin@bücher.example", idThree: "same@a.example", idFour: "four@a.example"}
	for id, user := range users {
		f.put(id, serverA, user)
	}
	f.put(idFive, serverB, "SAME@a.example")
	f.put("7c9e-notes", serverA, "notes@a.example")
	return f
}

// put writes a record with the id, and gives Mailu its user.
func (f *fleet) put(id string, server rotator.Origin, user string) {
	born := f.began.AddDate(0, 0, -400).Format("2006-01-02T15:04:05Z07:00")
	f.store.Put(id, map[string]any{
		"username": user, "webmail_url": string(server) + "/webmail", "password": envelope(1),
		"last_rotated": born, "created_at": born, "key_version": 1,
	})
	f.mailu.AddUser(user, "old password")
}

func TestNameBelongsToOneTenantOrTheRunIsRefused(t *testing.T) {
	for _, test := range []struct{ name, tenant, refusal string }{
		{name: idOne, tenant: idOne},
		{name: "0f8fad5b", tenant: idOne},
		{name: idOne[:35], tenant: idOne},
		{name: "0F8FAD5B-D9", tenant: idOne},
		{name: "7c9e", tenant: idFour}, // the name of an entry that is no tenant begins like it
		{name: idThree, tenant: idThree},
		{name: "ONE@a.example", tenant: idOne},
		{name: "admin@XN--BCHER-KVA.example", tenant: idTwo},

		{name: "0f8fad5", refusal: `the ids of 3 tenants begin with "0f8fad5", name one by more characters: ` + idThree + ", " + idOne + ", " + idTwo},
		{name: "0f8fad5c", refusal: "the ids of 2 tenants begin with"},
		{name: "same@a.example", refusal: `2 tenants have the user "same@a.example", name one by its id: ` + idThree + ", " + idFive},
		{name: "7c9e-", refusal: `no tenant's id begins with "7c9e-"`},
		{name: "dead", refusal: `no tenant's id begins with "dead"`},
		{name: "nobody@a.example", refusal: `no tenant has the user "nobody@a.example"`},
		{name: "notes@a.example", refusal: "no tenant has the user"}, // no tenant's record
		{name: "7c9", refusal: `"7c9" is not a tenant id (a UUID version 4), the beginning of one (4 characters or more), or the address of a user`},
		{name: "", refusal: `"" is not a tenant id`},
		{name: "four", refusal: `"four" is not a tenant id`},
		{name: "../../sys", refusal: `"../../sys" is not a tenant id`},
		{name: "7c9e6679-7425-10de-944b-e07fc1f90ae7", refusal: "is not a tenant id"},
	} {
		for operation, do := range naming {
			t.Run(operation+" "+test.name, func(t *testing.T) {
				inFleet(t, func(t *testing.T, _ *fleet) {
					f := newAlikes(t)

					tenants, err := do(t, f, test.name)

					switch {
					case test.refusal == "" && (err != nil || !slices.Equal(tenants, []string{test.tenant})):
						t.Errorf("it was for %q, %v", tenants, err)
					case test.refusal != "" && (err == nil || !strings.Contains(err.Error(), test.refusal)):
						t.Errorf("it was for %q, %v", tenants, err)
					case test.refusal != "" && len(f.of(rotatortest.OpWrite))+len(f.of(rotatortest.OpSetPassword))+len(f.of(rotatortest.OpKnows)) > 0:
						t.Error("it wrote, or asked Mailu, before it refused the name")
					}
				})
			})
		}
	}
}

func TestNamesOfOneRunAreRefusedTogether(t *testing.T) {
	inFleet(t, func(t *testing.T, _ *fleet) {
		f := newAlikes(t)
		sel, err := selecting(idFour, "dead", "0f8fad5", "one@a.example")
		if err != nil {
			t.Fatal(err)
		}
		sel.All = true

		_, err = f.sweep.Run(t.Context(), sel, 0)

		if err == nil || !strings.HasPrefix(err.Error(), `no tenant's id begins with "dead"; the ids of 3 tenants begin with "0f8fad5"`) {
			t.Errorf("refused with %v", err)
		}
		if n := len(f.of(rotatortest.OpWrite)); n > 0 {
			t.Errorf("%d writes", n)
		}
	})
}

func TestNamesOfOneTenantSelectItOnce(t *testing.T) {
	inFleet(t, func(t *testing.T, _ *fleet) {
		f := newAlikes(t)
		sel, err := selecting(idFour, "7c9e", "7c9e", "FOUR@a.example", "0f8fad5b")
		if err != nil {
			t.Fatal(err)
		}
		sel.All = true

		report := f.run(t, sel)

		tenants := tenantsOf(report)
		slices.Sort(tenants)
		if !slices.Equal(tenants, []string{idOne, idFour}) || report.Count(rotator.Rotated) != 2 {
			t.Errorf("it was for %q", tenants)
		}
	})
}

func TestResealTakesIdsAndOtherNamesTogether(t *testing.T) {
	inFleet(t, func(t *testing.T, _ *fleet) {
		f := newAlikes(t)
		sel, err := selecting(idFour, "0f8fad5b", idThree)
		if err != nil {
			t.Fatal(err)
		}

		report, err := f.sweep.Reseal(t.Context(), sel)

		if tenants := tenantsOf(report); err != nil || len(tenants) != 3 {
			t.Errorf("it was for %q, %v", tenants, err)
		}
	})
}

func TestNameSelectsOnItsServerOnly(t *testing.T) {
	inFleet(t, func(t *testing.T, _ *fleet) {
		f := newAlikes(t)
		sel, err := selecting("7c9e")
		if err != nil {
			t.Fatal(err)
		}
		sel.All, sel.Origins = true, []rotator.Origin{serverB}

		_, err = f.sweep.Run(t.Context(), sel, 0)

		if err == nil || !strings.Contains(err.Error(), "no tenant matches the selection") {
			t.Errorf("got %v", err)
		}
	})
}

// A run that names a tenant takes it over beyond the limit, by whatever name.
func TestNamedTenantIsFinishedBeyondTheLimitOfTakeOvers(t *testing.T) {
	for _, name := range []string{string(tenant(1)), userOf(1), "00000000-0000"} {
		inFleet(t, func(t *testing.T, f *fleet) {
			f.add(serverA, 1)
			f.leave(t, 1, "dead", f.began)
			f.store.Edit(string(tenant(1)), func(r map[string]any) {
				r["pending"].(map[string]any)["takeovers"] = 6
			})
			sel, err := selecting(name)
			if err != nil {
				t.Fatal(err)
			}

			mustEnd(t, f.run(t, sel), "1 finished")
		})
	}
}

func TestUserOfAnUnreadRecordIsNotSaidToBeNobodys(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpRead && c.Tenant == tenant(2) {
				return rotatortest.Fault{Before: rotator.ErrForbidden}
			}
			return rotatortest.Fault{}
		}

		_, err := f.sweep.Record(t.Context(), userOf(2))

		if err == nil || !strings.Contains(err.Error(), `no tenant has the user "admin@2.example", as far as can be read: 1 of the records cannot`) {
			t.Errorf("got %v", err)
		}
	})
}

func TestManyTenantsWithOneBeginningAreNotAllNamed(t *testing.T) {
	f := newFleet(t)
	for n := range 12 {
		f.add(serverA, n)
	}

	_, err := f.sweep.Record(t.Context(), "0000")

	if err == nil || !strings.HasSuffix(err.Error(), string(tenant(9))+", …") {
		t.Errorf("got %v", err)
	}
}
