package sweep_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// namesOfOne are two additions of tenant 1's user, under different ids.
var namesOfOne = map[string][2]sweep.Addition{
	"the second id is larger":  {asking(1), asking(2, ofUser(1))},
	"the second id is smaller": {asking(2, ofUser(1)), asking(1)},
	"the second has no id":     {asking(1), asking(1, unnamed)},
	"the first has no id":      {asking(1, unnamed), asking(1)},
}

func ofUser(n int) func(*sweep.Addition) {
	return func(a *sweep.Addition) { a.Username = userOf(n) }
}

// interleaved runs each pair of additions with every number of calls that the first
// makes before the second starts, and the second before the first continues.
func interleaved(t *testing.T, play func(t *testing.T, f *fleet, a, b *adder, how string)) {
	for name, asked := range namesOfOne {
		t.Run(name, func(t *testing.T) {
			for i := range calls {
				for j := range calls {
					inFleet(t, func(t *testing.T, f *fleet) {
						f.mailu.AddUser(userOf(1), "old password")
						a, b := f.adding(t, "a", asked[0]), f.adding(t, "b", asked[1])
						a.step(i)
						b.step(j)
						play(t, f, a, b, fmt.Sprintf("a makes %d calls, b %d", i, j))
					})
				}
			}
		})
	}
}

// mustBeOne fails unless one record names the user, and Mailu accepts its password.
func (f *fleet) mustBeOne(t *testing.T, how string) {
	t.Helper()
	whole, half := f.tenantsOf(userOf(1))
	if len(whole) != 1 || len(half) != 0 {
		t.Errorf("%s: tenants %v, half-finished %v", how, whole, half)
		return
	}
	fields, _ := f.store.Get(whole[0])
	if sealed, _ := fields["password"].(string); !strings.HasSuffix(sealed, "|"+f.mailu.Password(userOf(1))) {
		t.Errorf("%s: Mailu accepts %q, Vault holds %q", how, f.mailu.Password(userOf(1)), sealed)
	}
	for _, s := range f.statuses(t) {
		if s.Fault != "" && !s.Ignored {
			t.Errorf("%s: tenant %s is invalid: %s", how, s.Tenant, s.Fault)
		}
	}
}

func (f *fleet) statuses(t *testing.T) []rotator.Status {
	t.Helper()
	all, _, err := f.sweep.Status(t.Context(), sweep.Selection{})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestOfTwoIDsForOneUserOneIsAdded(t *testing.T) {
	interleaved(t, func(t *testing.T, f *fleet, a, b *adder, how string) {
		a.finish()
		b.finish()

		how += fmt.Sprintf(": a %s, b %s", a.outcome(), b.outcome())
		f.mustBeOne(t, how)
		lost := strings.Count(how, "invalid (withdrawn: tenant ") + strings.Count(how, "already: they would lock each other out") + strings.Count(how, "fresh (is a tenant already")
		// A process that waited in its push until the other one took its record over
		// has added it too.
		if added := strings.Count(how, "added ("); added < 1 || added+lost != 2 || f.mailu.Sets() != 1 {
			t.Errorf("%s: %d pushes", how, f.mailu.Sets())
		}
	})
}

func TestAdderThatDiesLeavesAtMostItsOwnRecord(t *testing.T) {
	interleaved(t, func(t *testing.T, f *fleet, a, b *adder, how string) {
		a.died = true
		a.finish()
		b.finish()
		time.Sleep(ttl + time.Second)
		sweep := f.sweeping(t, "sweep")
		sweep.finish()

		how += fmt.Sprintf(", a dies: b %s, then a sweep: %s", b.outcome(), sweep.outcome())
		f.mustBeOne(t, how)
	})
}

func TestTwoDeadAddersAreSettledBySweeps(t *testing.T) {
	interleaved(t, func(t *testing.T, f *fleet, a, b *adder, how string) {
		a.died, b.died = true, true
		a.finish()
		b.finish()
		if len(f.recordsOfOne()) == 0 {
			return // both died before they wrote anything
		}
		time.Sleep(ttl + time.Second)
		sweep := f.sweeping(t, "sweep")
		sweep.finish()

		f.mustBeOne(t, how+", both die, then a sweep: "+sweep.outcome())
	})
}

func TestRepeatedAdditionOutdoesADeadOne(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.mailu.AddUser(userOf(1), "old password")
		a, b := f.adding(t, "a", asking(1)), f.adding(t, "b", asking(2, ofUser(1)))
		for range calls { // alternating, until both records exist
			if len(f.recordsOfOne()) == 2 {
				break
			}
			a.step(1)
			b.step(1)
		}
		a.died, b.died = true, true
		a.finish()
		b.finish()
		if n := len(f.recordsOfOne()); n != 2 {
			t.Fatalf("%d records, want 2", n)
		}
		time.Sleep(ttl + time.Second)

		again := f.adding(t, "a again", asking(1))
		again.finish()

		f.mustBeOne(t, "a again "+again.outcome())
	})
}

func (f *fleet) recordsOfOne() []string {
	whole, half := f.tenantsOf(userOf(1))
	return append(whole, half...)
}

// The first adder is held until its claim has expired, and continues last. The second
// one has read the fleet before.
func TestSweepThatTakesOverAnAdditionAdmitsIt(t *testing.T) {
	for name, asked := range namesOfOne {
		t.Run(name, func(t *testing.T) {
			for n := range calls * calls * 4 {
				i, j, k := n/4/calls, n/4%calls, n%4
				inFleet(t, func(t *testing.T, f *fleet) {
					f.mailu.AddUser(userOf(1), "old password")
					a, b := f.adding(t, "a", asked[0]), f.adding(t, "b", asked[1])
					b.step(1)
					a.step(i)
					if len(f.recordsOfOne()) == 0 { // there is nothing to take over
						a.finish()
						b.finish()
						return
					}
					time.Sleep(ttl + time.Second)
					sweep := f.sweeping(t, "sweep")
					sweep.step(j)
					b.step(k)
					sweep.finish()
					b.finish()
					a.finish()

					f.mustBeOne(t, fmt.Sprintf("a makes %d calls and waits, a sweep %d, b %d: the sweep %s, b %s, a %s", i, j, k, sweep.outcome(), b.outcome(), a.outcome()))
				})
			}
		})
	}
}

// leftOpen leaves the record of an addition that was not admitted.
func (f *fleet) leftOpen(t *testing.T, asked sweep.Addition) {
	t.Helper()
	made := false
	f.fault = func(c rotatortest.Call) rotatortest.Fault {
		made = made || c.Op == rotatortest.OpCreate
		if c.Op == rotatortest.OpList && made {
			return rotatortest.Fault{Before: errDied}
		}
		return rotatortest.Fault{}
	}
	f.adds(t, asked)
	f.fault = nil
	if fields, version := f.store.Get(string(asked.Tenant)); version != 1 || fields["pending"] == nil {
		t.Fatalf("version %d: %v", version, fields)
	}
	time.Sleep(ttl + time.Second)
}

func TestOpenAdditionDisturbsNoTenant(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.mailu.AddUser(userOf(1), "by hand")
		f.leftOpen(t, asking(2, ofUser(1)))
		f.add(serverA, 1)

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "2 ignored, 1 rotated")
		if want := "withdrawn: tenant " + string(tenant(1)) + " has the user " + userOf(1); !strings.HasPrefix(report.Rows[0].Reason, want) {
			t.Errorf("got %q, want %q", report.Rows[0].Reason, want)
		}
		if events := f.told(rotator.AdditionWithdrawn); len(events) != 1 || events[0].User != userOf(1) {
			t.Errorf("events %+v", events)
		}
	})
}

func TestWithdrawnRecordIsIgnored(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.store.Put(string(tenant(2)), map[string]any{"withdrawn": "tenant 1 has the user", "note": "not ours"})
		const want = "withdrawn: tenant 1 has the user; nothing was pushed for this record: remove what is left of it (`vault kv metadata delete`)"

		report := f.run(t, sweep.Selection{All: true})
		found := f.verify(t, true).Findings[1]
		examined, err := f.sweep.Examine(t.Context(), nil)
		var status rotator.Status
		for _, s := range f.statuses(t) {
			if s.Tenant == string(tenant(2)) {
				status = s
			}
		}
		outcome, _, reason := status.LastOutcome(time.Now())
		again := f.adds(t, asking(2)).Rows[0]
		_, show := f.sweep.Record(t.Context(), string(tenant(2)))

		mustEnd(t, report, "1 rotated, 2 ignored")
		if report.Rows[1].Reason != want || report.Failures() != 0 {
			t.Errorf("the run says %q", report.Rows[1].Reason)
		}
		if found.State != rotator.StateIgnored || found.Reason != want || found.Problem() {
			t.Errorf("verify says %s: %s", found.State, found.Reason)
		}
		kinds := ""
		for _, flaw := range examined.Issues {
			kinds += flaw.Tenant + " " + string(flaw.Kind) + ";"
		}
		if err != nil || examined.Tenants != 1 || kinds != string(tenant(2))+" withdrawn;" {
			t.Errorf("the examination says %q of %d tenants, %v", kinds, examined.Tenants, err)
		}
		if outcome != rotator.Ignored || reason != want || status.Problem(time.Now(), rotator.Timetable{}) {
			t.Errorf("status says %s: %s", outcome, reason)
		}
		if again.Outcome != rotator.Invalid || again.Reason != want+", or leave the id out" {
			t.Errorf("the same id again: %s, %s", again.Outcome, again.Reason)
		}
		if show == nil || !strings.HasSuffix(show.Error(), want) {
			t.Errorf("show says %v", show)
		}
		if fields, version := f.store.Get(string(tenant(2))); version != 1 || fields["note"] == nil {
			t.Errorf("version %d: %v", version, fields)
		}
	})
}

func TestFieldsOfOthersStayInAWithdrawnRecord(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.mailu.AddUser(userOf(1), "by hand")
		f.leftOpen(t, asking(2, ofUser(1)))
		f.store.Edit(string(tenant(2)), func(fields map[string]any) { fields["note"] = "not ours" })

		f.add(serverA, 1)

		f.run(t, sweep.Selection{})

		fields, _ := f.store.Get(string(tenant(2)))
		if fmt.Sprint(fields) != "map[note:not ours withdrawn:tenant "+string(tenant(1))+" has the user "+userOf(1)+"]" {
			t.Errorf("left %v", fields)
		}
	})
}

// The user of an unreadable record is unknown.
func TestOpenAdditionWaitsForUnreadableRecords(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.mailu.AddUser(userOf(2), "by hand")
		f.leftOpen(t, asking(2))
		f.add(serverA, 1)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpRead && c.Tenant == tenant(1) {
				return rotatortest.Fault{Before: rotator.ErrForbidden}
			}
			return rotatortest.Fault{}
		}

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "2 unfinished, 1 invalid")
		if f.mailu.Sets() != 0 || !strings.Contains(report.Rows[0].Reason, "may have the same user") {
			t.Errorf("%d pushes: %s", f.mailu.Sets(), report.Rows[0].Reason)
		}
		if _, version := f.store.Get(string(tenant(2))); version != 1 {
			t.Errorf("version %d", version)
		}
	})
}

func TestMalformedAdmission(t *testing.T) {
	pending := map[string]any{"password": "s", "last_rotated": "2026-01-01T00:00:00Z", "owner": "o", "claimed_until": "2026-01-01T00:00:00Z", "admitted": "true"}
	doc := rotator.Document{Version: 1, Fields: map[string]any{"username": userOf(1), "webmail_url": string(serverA), "pending": pending}}

	_, err := rotator.ParseCredential(tenant(1), doc, rotator.Policy{})

	if err == nil || !strings.Contains(err.Error(), `pending is malformed: admitted is not true or false but "true"`) {
		t.Errorf("got %v", err)
	}
}

func TestAnImportReadsEachNewRecordOnce(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		const n = 40
		f.sweep.Workers = 1
		var asked []sweep.Addition
		for i := range n {
			asked = append(asked, asking(i+1))
		}

		report := f.adds(t, asked...)

		if reads := len(f.of(rotatortest.OpRead)); reads > 4*n || report.Count(rotator.Added) != n {
			t.Errorf("%d reads for %d of %d additions", reads, report.Count(rotator.Added), n)
		}
	})
}

func TestRecordFoundDuringAnImportIsARival(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sweep.Workers = 1
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpCreate && c.Tenant == tenant(1) { // by another process
				f.store.Put(string(tenant(2)), map[string]any{
					"username": userOf(3), "webmail_url": string(serverA), "password": envelope(2), "last_rotated": "2026-01-01T00:00:00Z",
				})
			}
			return rotatortest.Fault{}
		}

		report := f.adds(t, asking(1), asking(3))

		mustEnd(t, report, "1 added, 3 invalid")
		if want := "tenant " + string(tenant(2)) + " has the user"; !strings.Contains(report.Rows[1].Reason, want) {
			t.Errorf("got %q, want %q", report.Rows[1].Reason, want)
		}
	})
}
