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

func TestEventsOfATenantNameItsUser(t *testing.T) {
	runs := map[string]func(*testing.T, *fleet){
		"rotated":  func(t *testing.T, f *fleet) { f.run(t, sweep.Selection{All: true}) },
		"verified": func(t *testing.T, f *fleet) { _, _ = f.sweep.Verify(t.Context(), sweep.Selection{}, true) },
		"resealed": func(t *testing.T, f *fleet) {
			f.store.Edit(string(tenant(1)), func(r map[string]any) { delete(r, "key_version") })
			_, _ = f.sweep.Reseal(t.Context(), sweep.Selection{})
		},
		"rolled back": func(t *testing.T, f *fleet) {
			f.run(t, sweep.Selection{All: true})
			_, _ = f.sweep.Rollback(t.Context(), userOf(1), 0)
		},
		"skipped": func(t *testing.T, f *fleet) {
			f.store.Edit(string(tenant(1)), func(r map[string]any) { r["rotation_policy"] = "soon" })
			f.run(t, sweep.Selection{})
		},
		"refused": func(t *testing.T, f *fleet) {
			f.fault = failing(rotator.ErrRefused, 1)
			f.run(t, sweep.Selection{})
		},
	}
	for name, run := range runs {
		t.Run(name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.sealed(t, 1, "old password")

				run(t, f)

				named := 0
				for _, e := range f.events {
					if e.Tenant != "" {
						named++
						if e.User != userOf(1) {
							t.Errorf("%s: user %q", e.Name, e.User)
						}
					}
				}
				if named == 0 {
					t.Error("no event names the tenant")
				}
			})
		})
	}
}
