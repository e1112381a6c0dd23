package sweep_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// listing makes the list take this long for each name.
func listing(d time.Duration) func(int) error {
	return func(int) error {
		time.Sleep(d)
		return nil
	}
}

// An unread record may have an older password than all read ones, and may name the same
// user: nothing is sent or written before all are read.
func TestNothingIsBegunBeforeTheLastRecordIsRead(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3)
		f.store.Edit(string(tenant(3)), func(fields map[string]any) { fields["last_rotated"] = "1990-01-01T00:00:00Z" })
		f.store.Listed = listing(10 * time.Second)
		f.mailu.Width = 1
		f.fault = slow(time.Second)

		f.run(t, sweep.Selection{All: true})

		for n, want := range map[int]time.Duration{3: 30 * time.Second, 1: 31 * time.Second, 2: 31 * time.Second} { // a canary, then two at a time
			if begun := f.of(rotatortest.OpKnows, n)[0].at; begun != want {
				t.Errorf("tenant %d was begun after %s, want %s", n, begun, want)
			}
		}
	})
}

func TestARivalAtTheEndOfTheListKeepsBothFromBeingTouched(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3)
		f.store.Edit(string(tenant(3)), func(fields map[string]any) { fields["username"] = strings.ToUpper(userOf(1)) })
		f.store.Listed = listing(time.Minute)

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "2 rotated, 1 invalid, 3 invalid")
		if f.mailu.Password(userOf(1)) != "old password" {
			t.Error("a user whom two tenants name has another password")
		}
	})
}

func TestAListThatBreaksOffIsNoFleet(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3)
		f.store.Listed = func(i int) error {
			time.Sleep(time.Second)
			if i == 2 {
				return rotatortest.ErrLost
			}
			return nil
		}
		board := boarded(f)

		_, err := f.sweep.Run(t.Context(), sweep.Selection{}, 0)

		if !errors.Is(err, rotatortest.ErrLost) || !strings.Contains(err.Error(), "list tenants") {
			t.Errorf("got %v", err)
		}
		if len(f.of(rotatortest.OpRead)) != 0 || len(f.of(rotatortest.OpKnows)) != 0 || f.store.Writes() != 0 {
			t.Errorf("%d reads, %d questions, %d writes", len(f.of(rotatortest.OpRead)), len(f.of(rotatortest.OpKnows)), f.store.Writes())
		}
		if s := board.Snapshot(); !s.Scanned.IsZero() {
			t.Errorf("the fleet was scanned at %s", s.Scanned)
		}
	})
}

func TestABriefRunReportsWhatConcernsSomebody(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 390, 391, 392)
		f.store.Edit(string(tenant(391)), func(fields map[string]any) { fields["rotation_policy"] = "sometimes" })
		f.store.Put("README", map[string]any{"text": "not a tenant"})
		f.sweep.OmitUnchanged = true

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "1 rotated, 391 invalid, README ignored")
		if n := len(f.of(rotatortest.OpRead)); n != 4 {
			t.Errorf("%d reads for 4 tenants", n)
		}
	})
}

// Duplicates that are not due have been dropped when the second one is read.
func TestABriefRunFindsRivalsWhomItHasForgotten(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 390, 391, 392)
		f.add(serverB, 393)
		same := func(fields map[string]any) { fields["username"] = "same@tenant.example" }
		for _, n := range []int{390, 392, 393} { // the last one on another server
			f.store.Edit(string(tenant(n)), same)
		}
		f.sweep.OmitUnchanged = true
		board := boarded(f)

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "390 invalid, 392 invalid")
		byState := map[rotator.PolicyState]int{}
		for e := range board.Tenants() {
			byState[e.PolicyState(time.Now(), nightly(t))]++
		}
		if byState[rotator.PolicyStateInvalid] != 2 || byState[rotator.PolicyStateOK] != 2 {
			t.Errorf("on the board: %v", byState)
		}
	})
}

func TestABriefRunOverAQuietFleetIsForSomebody(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 390, 391)
		f.sweep.OmitUnchanged = true

		report, err := f.sweep.Run(t.Context(), sweep.Selection{}, 0)

		if err != nil || len(report.Rows) != 0 {
			t.Errorf("got %v, %v", report.Rows, err)
		}
	})
}

// However large the fleet, only the workers read it.
func TestWorkersBoundTheReading(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		for n := range 40 {
			f.add(serverA, 360+n)
		}
		f.sweep.Workers = 4
		f.fault = slowCall(rotatortest.OpRead, time.Second)

		f.run(t, sweep.Selection{})

		if took := time.Since(f.began); took != 10*time.Second {
			t.Errorf("4 workers took %s for 40 reads of a second", took)
		}
	})
}

func TestStatusNamesRivals(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 390, 391, 392)
		f.store.Edit(string(tenant(392)), func(fields map[string]any) { fields["username"] = userOf(390) })

		all, now, err := f.sweep.Status(t.Context(), sweep.Selection{})

		if err != nil || len(all) != 3 {
			t.Fatalf("%d tenants, %v", len(all), err)
		}
		for _, s := range all {
			rival := s.Tenant != string(tenant(391))
			if got := s.PolicyState(now, nightly(t)) == rotator.PolicyStateInvalid; got != rival {
				t.Errorf("%s: %s", s.Tenant, s.Fault)
			}
		}
	})
}

// From a failed scan the cache takes the good records, but neither the failure itself
// nor the end of a fault.
func TestASurveyThatFailsChangesNobodysFault(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 390, 391, 392, 393)
		f.store.Edit(string(tenant(391)), func(fields map[string]any) { fields["username"] = userOf(390) })
		board := boarded(f)
		f.run(t, sweep.Selection{})
		before := board.Snapshot()
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpRead && (c.Tenant == tenant(392) || c.Tenant == tenant(393)) {
				time.Sleep(time.Minute)
				return rotatortest.Fault{Before: rotatortest.ErrLost}
			}
			return rotatortest.Fault{}
		}
		f.store.Listed = func(i int) error {
			if i == 3 {
				time.Sleep(time.Minute / 2)
				return rotatortest.ErrLost
			}
			return nil
		}
		time.Sleep(time.Hour)

		_, err := f.sweep.Run(t.Context(), sweep.Selection{}, 0)

		after := board.Snapshot()
		if err == nil || !after.Scanned.Equal(before.Scanned) {
			t.Fatalf("got %v, scanned at %s", err, after.Scanned)
		}
		for i, e := range after.Tenants {
			if e != before.Tenants[i] {
				t.Errorf("got  %+v\nwant %+v", e, before.Tenants[i])
			}
		}
	})
}
