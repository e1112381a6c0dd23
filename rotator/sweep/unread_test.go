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

var errDamaged = errors.New("vault answered 500 Internal Server Error: could not find version data")

// unread makes the store return no record of these tenants, each after some time.
func unread(err error, after time.Duration, numbers ...int) rotatortest.Hook {
	return func(c rotatortest.Call) rotatortest.Fault {
		for _, n := range numbers {
			if c.Op == rotatortest.OpRead && c.Tenant == tenant(n) {
				time.Sleep(after)
				return rotatortest.Fault{Before: err}
			}
		}
		return rotatortest.Fault{}
	}
}

func TestUnreadableRecordsStopNobodyElse(t *testing.T) {
	first, spread, last := []int{1, 2, 3, 4}, []int{2, 5, 9}, []int{8, 9, 10}
	tests := []struct {
		name    string
		err     error
		after   time.Duration
		numbers []int
		workers int
	}{
		{"the first of the list, at once", errDamaged, 0, first, 8},
		{"spread, after the store's tries", errDamaged, 2 * time.Minute, spread, 8},
		{"the last of the list", errDamaged, time.Second, last, 8},
		{"one worker", errDamaged, time.Second, first, 1},
		{"those that the store never answers", fmt.Errorf("read: %w", rotator.ErrUnavailable), time.Minute, spread, 8},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
				f.sweep.Workers = test.workers
				f.fault = unread(test.err, test.after, test.numbers...)

				report := f.run(t, sweep.Selection{All: true})

				if failed, rotated := report.Count(rotator.Failed), report.Count(rotator.Rotated); failed != len(test.numbers) || rotated != 10-failed {
					t.Errorf("%d failed, %d rotated", failed, rotated)
				}
				for _, row := range report.Rows {
					if row.Outcome == rotator.Failed && row.Reason != test.err.Error() {
						t.Errorf("%s: %s", row.Tenant, row.Reason)
					}
				}
			})
		})
	}
}

func TestAStoreThatGivesNothingEndsTheRun(t *testing.T) {
	tests := []struct {
		name    string
		err     error
		tenants int
		reads   int // maximum
	}{
		{"each record fails", errDamaged, 3, 3},
		{"many in a row fail", errDamaged, 100, 50 + 8},
		{"it is sealed, and there is one tenant", fmt.Errorf("read: %w", rotator.ErrUnavailable), 1, 1},
		{"it takes no login any more", fmt.Errorf("%w: %w", rotator.ErrUnavailable, rotator.ErrForbidden), 2, 2},
		{"it is sealed, and there are many", fmt.Errorf("read: %w", rotator.ErrUnavailable), 100, 3 + 8},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				for n := range test.tenants {
					f.add(serverA, n)
				}
				f.fault = func(c rotatortest.Call) rotatortest.Fault {
					if c.Op == rotatortest.OpRead {
						time.Sleep(time.Second)
						return rotatortest.Fault{Before: test.err}
					}
					return rotatortest.Fault{}
				}

				_, err := f.sweep.Run(t.Context(), sweep.Selection{}, 0)

				if !errors.Is(err, test.err) || !strings.Contains(err.Error(), "read the tenants' records") {
					t.Errorf("got %v", err)
				}
				if n := len(f.of(rotatortest.OpRead)); n > test.reads {
					t.Errorf("%d reads, want %d at most", n, test.reads)
				}
			})
		})
	}
}

// Half of the records were read when the store was sealed.
func TestAStoreThatIsSealedMidwayEndsTheRun(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		for n := range 40 {
			f.add(serverA, n)
		}
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op != rotatortest.OpRead {
				return rotatortest.Fault{}
			}
			time.Sleep(time.Second)
			if time.Since(f.began) > 3*time.Second {
				return rotatortest.Fault{Before: rotator.ErrUnavailable}
			}
			return rotatortest.Fault{}
		}

		_, err := f.sweep.Run(t.Context(), sweep.Selection{}, 0)

		if !errors.Is(err, rotator.ErrUnavailable) || f.mailu.Sets() != 0 {
			t.Errorf("got %v, %d pushes", err, f.mailu.Sets())
		}
	})
}

func TestEveryCommandGoesOnBesideUnreadableRecords(t *testing.T) {
	commands := map[string]func(t *testing.T, f *fleet) (others, damaged int){
		"status": func(t *testing.T, f *fleet) (others, damaged int) {
			all, _, err := f.sweep.Status(t.Context(), sweep.Selection{})
			must(t, err)
			for _, s := range all {
				if s.Fault != "" {
					damaged++
				}
			}
			return len(all) - damaged, damaged
		},
		"verify": func(t *testing.T, f *fleet) (others, damaged int) {
			v := f.verify(t, false)
			return v.Count(rotator.StateOK), v.Count(rotator.StateUnreachable)
		},
		"reseal": func(t *testing.T, f *fleet) (others, damaged int) {
			report, err := f.sweep.Reseal(t.Context(), sweep.Selection{})
			must(t, err)
			return report.Count(rotator.Fresh), report.Count(rotator.Failed)
		},
		"doctor": func(t *testing.T, f *fleet) (others, damaged int) {
			e, err := f.sweep.Examine(t.Context(), nil)
			must(t, err)
			return e.WellFormed, e.Serious()
		},
		"dry run": func(t *testing.T, f *fleet) (others, damaged int) {
			report, err := dry(f.sweep).Run(t.Context(), sweep.Selection{}, 0)
			must(t, err)
			return report.Count(rotator.Planned), report.Count(rotator.Failed)
		},
	}
	for name, command := range commands {
		t.Run(name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				for n := range 7 {
					f.add(serverA, n)
					f.setCurrent(t, n, "old password")
				}
				f.fault = unread(errDamaged, 0, 0, 1, 2)

				others, damaged := command(t, f)

				if others != 4 || damaged != 3 {
					t.Errorf("%d others, %d damaged", others, damaged)
				}
			})
		})
	}
}

func TestABoardKeepsWhatItKnewOfAnUnreadableRecord(t *testing.T) {
	for _, fault := range []error{errDamaged, rotator.ErrForbidden} {
		inFleet(t, func(t *testing.T, f *fleet) {
			f.add(serverA, 390, 391)
			board := boarded(f)
			f.run(t, sweep.Selection{})
			f.fault = unread(fault, 0, 390)

			f.run(t, sweep.Selection{})

			e := board.Snapshot().Tenants[0]
			if e.User != userOf(390) || e.Origin != serverA || e.Due.IsZero() || e.Fault != fault.Error() {
				t.Errorf("got %+v", e)
			}
			if e.PolicyState(time.Now(), nightly(t)) != rotator.PolicyStateInvalid {
				t.Errorf("it is %s", e.PolicyState(time.Now(), nightly(t)))
			}

			f.fault = nil
			f.run(t, sweep.Selection{})

			if e := board.Snapshot().Tenants[0]; e.Fault != "" {
				t.Errorf("its fault stays: %s", e.Fault)
			}
		})
	}
}

// A brief run has dropped both tenants when it finds that they may share a user, and
// can read only one of them again.
func TestARivalThatCannotBeReadAgainKeepsBothFromBeingTouched(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 390, 391)
		f.store.Edit(string(tenant(390)), func(fields map[string]any) { fields["username"] = userOf(1) })
		f.sweep.OmitUnchanged = true
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpRead && c.Tenant == tenant(390) && len(f.of(rotatortest.OpRead, 390)) > 1 {
				return rotatortest.Fault{Before: errDamaged}
			}
			return rotatortest.Fault{}
		}

		report := f.run(t, sweep.Selection{})

		mustEnd(t, report, "390 failed, 1 failed")
		if f.mailu.Sets() != 0 {
			t.Error("a user whom two tenants name has another password")
		}
	})
}
