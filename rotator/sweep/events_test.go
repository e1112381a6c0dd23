package sweep_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// timings records the sweep's steps with their durations.
func (f *fleet) timings() (steps func() []string) {
	var mu sync.Mutex
	var all []string
	f.sweep.OnStep = func(step rotator.Step, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, fmt.Sprint(step, " ", took))
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

func TestStepsAreTimed(t *testing.T) {
	tests := map[string]struct {
		pushed error
		want   []string
	}{
		"all in order":       {nil, []string{"precheck 0s", "prepare 0s", "push 3s", "verify 0s", "commit 0s"}},
		"those that fail":    {rotator.ErrServerUnusable, []string{"precheck 0s", "prepare 0s", "push 3s"}},
		"refused, abandoned": {rotator.ErrRefused, []string{"precheck 0s", "prepare 0s", "push 3s", "verify 0s", "abandon 0s"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1)
				f.fault = func(c rotatortest.Call) rotatortest.Fault {
					if c.Op != rotatortest.OpSetPassword {
						return rotatortest.Fault{}
					}
					time.Sleep(3 * time.Second)
					return rotatortest.Fault{Before: tt.pushed}
				}
				steps := f.timings()

				_, err := f.sweep.Run(t.Context(), sweep.Selection{}, 0)

				if got := steps(); err != nil || !slices.Equal(got, tt.want) {
					t.Errorf("got %q, want %q; %v", got, tt.want, err)
				}
			})
		})
	}
}

func TestTakeOverIsTimed(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpSetPassword {
				return rotatortest.Fault{Before: rotator.ErrServerUnusable}
			}
			return rotatortest.Fault{}
		}
		_, errFirst := f.sweep.Run(t.Context(), sweep.Selection{}, 0)
		f.fault = nil
		time.Sleep(ttl)
		steps := f.timings()

		_, err := f.sweep.Run(t.Context(), sweep.Selection{}, 0)

		if got := steps(); !slices.Contains(got, "take over 0s") {
			t.Errorf("got %q; %v, %v", got, errFirst, err)
		}
	})
}
