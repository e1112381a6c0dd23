package sweep_test

import (
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

func TestAClaimOfAnotherProcessIsWaitedForAndThenTakenOver(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.leave(t, 1, "a process that died", f.began.Add(4*time.Minute))

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "1 finished, 2 rotated")
		if push := f.of(rotatortest.OpSetPassword, 1); len(push) != 1 || push[0].at < 4*time.Minute {
			t.Errorf("pushed %v", push)
		}
		if f.mailu.Password(userOf(1)) != "pending password" || f.made != 1 {
			t.Errorf("Mailu accepts %q; %d passwords made", f.mailu.Password(userOf(1)), f.made)
		}
		f.mustRest(t, 1, 2)
	})
}

// A process claims for at most an hour, and its clock may be ahead by five minutes.
func TestHowLongAClaimIsBelieved(t *testing.T) {
	const longest = rotator.MaxClaimTTL + 5*time.Minute
	for until, want := range map[time.Duration]bool{0: false, time.Millisecond: true, longest: true, longest + time.Millisecond: false} {
		inFleet(t, func(t *testing.T, f *fleet) {
			f.add(serverA, 1)
			f.leave(t, 1, "another process", f.began.Add(until))

			record, err := f.sweep.Record(t.Context(), string(tenant(1)))

			if err != nil || record.UnderWay != want {
				t.Errorf("until %s: %t, %v", until, record.UnderWay, err)
			}
		})
	}
}

func TestAClaimedTenantDoesNotHoldUpTheOthers(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2, 3)
		f.leave(t, 1, "another process", f.began.Add(4*time.Minute))

		f.run(t, sweep.Selection{})

		for _, other := range []int{2, 3} {
			if push := f.of(rotatortest.OpSetPassword, other); push[0].at != 0 {
				t.Errorf("tenant %d was pushed after %s", other, push[0].at)
			}
		}
	})
}

func TestWhatAnotherProcessFinishesMeanwhileIsSeenAsDone(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.leave(t, 1, "another process", f.began.Add(4*time.Minute))
		other := f.process(t, "another process")
		go func() {
			time.Sleep(time.Minute)
			_, _ = other.Run(t.Context(), sweep.Selection{}, 0)
		}()

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "1 fresh")
		if f.mailu.Sets() != 1 || f.made != 0 {
			t.Errorf("%d pushes, %d passwords made", f.mailu.Sets(), f.made)
		}
		f.mustRest(t, 1)
	})
}

func TestAClaimThatIsRenewedElsewhereIsReported(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.leave(t, 1, "another process", f.began.Add(time.Hour))

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "1 claimed")
		if f.store.Writes() != 0 || f.mailu.Sets() != 0 || !strings.Contains(report.Rows[0].Reason, "another process, until 2000-01-01T01:00:00.000Z") {
			t.Errorf("%d writes, %d pushes, %q", f.store.Writes(), f.mailu.Sets(), report.Rows[0].Reason)
		}
	})
}

func TestTwoSweepsAtOnceRotateNoTenantTwice(t *testing.T) {
	tests := []struct {
		name string
		sel  sweep.Selection
	}{
		{"what is due", sweep.Selection{}},
		{"everything before one cut-off", sweep.Selection{All: true, RotatedBefore: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1, 2, 3)
				f.add(serverB, 4)
				f.fault = slow(time.Second)
				other := f.process(t, "another process")
				reports := make(chan sweep.Report)
				go func() {
					report, _ := other.Run(t.Context(), test.sel, 0)
					reports <- report
				}()

				mine := f.run(t, test.sel)
				theirs := <-reports

				if mine.Failures()+theirs.Failures() != 0 || mine.Count(rotator.Rotated)+theirs.Count(rotator.Rotated) != 4 {
					t.Errorf("here %v\nthere %v", mine.Rows, theirs.Rows)
				}
				if f.mailu.Sets() != 4 || f.store.Writes() != 2*4 {
					t.Errorf("%d pushes, %d writes", f.mailu.Sets(), f.store.Writes())
				}
				f.mustRest(t, 1, 2, 3, 4)
			})
		})
	}
}

// The same with the real clock and truly concurrent goroutines.
func TestTwoSweepsRaceForTheSameTenants(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 1, 2)
	f.add(serverB, 3)
	other := f.process(t, "another process")
	done := make(chan sweep.Report)
	go func() {
		report, _ := other.Run(t.Context(), sweep.Selection{}, 0)
		done <- report
	}()

	mine := f.run(t, sweep.Selection{})
	theirs := <-done

	if rotated := mine.Count(rotator.Rotated) + theirs.Count(rotator.Rotated); rotated != 3 || f.mailu.Sets() != 3 {
		t.Errorf("%d rotated, %d pushes", rotated, f.mailu.Sets())
	}
	f.mustRest(t, 1, 2, 3)
}

func TestOnlyTheClaimOfAnotherIsToldAsTakenOver(t *testing.T) {
	for owner, want := range map[string]int{"this process": 0, "a dead process": 1} {
		inFleet(t, func(t *testing.T, f *fleet) {
			f.add(serverA, 1)
			f.leave(t, 1, owner, f.began)

			mustEnd(t, f.run(t, sweep.Selection{PendingOnly: true}), "1 finished")

			if told := f.told(rotator.RotationTakenOver); len(told) != want {
				t.Errorf("%s: told %d times", owner, len(told))
			}
		})
	}
}
