package sweep_test

import (
	"context"
	"errors"
	"testing"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

func TestPlanThatIsNotConfirmedChangesNothing(t *testing.T) {
	for name, confirm := range map[string]func(cancel func()) bool{
		"declined":    func(func()) bool { return false },
		"interrupted": func(cancel func()) bool { cancel(); return false },
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1, 2)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				planned := 0
				f.sweep.Confirm = func(_ context.Context, plan []sweep.Decision) bool {
					planned = len(plan)
					return confirm(cancel)
				}

				_, err := f.sweep.Run(ctx, sweep.Selection{All: true}, 0)

				if declined := errors.Is(err, sweep.ErrDeclined); err == nil || declined != (name == "declined") {
					t.Errorf("got %v", err)
				}
				if planned != 2 || len(f.of(rotatortest.OpWrite)) > 0 || len(f.of(rotatortest.OpKnows)) > 0 {
					t.Errorf("%d tenants planned, calls %v", planned, f.calls)
				}
				if len(f.told(rotator.SweepInterrupted)) != 1 || len(f.told(rotator.SweepPlanned)) > 0 {
					t.Errorf("events %v", f.events)
				}
			})
		})
	}
}

func TestPlanIsConfirmedOnceAndNotInADryRun(t *testing.T) {
	for dryRun, want := range map[bool]int{false: 1, true: 0} {
		inFleet(t, func(t *testing.T, f *fleet) {
			f.add(serverA, 1)
			asked := 0
			f.sweep.DryRun = dryRun
			f.sweep.Confirm = func(context.Context, []sweep.Decision) bool { asked++; return true }

			report := f.run(t, sweep.Selection{All: true})

			if asked != want || report.Count(rotator.Rotated) != want {
				t.Errorf("dry run %t: asked %d times, %v", dryRun, asked, report.Rows)
			}
		})
	}
}
