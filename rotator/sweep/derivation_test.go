package sweep_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// A key derivation takes 20 ms of a core: the expected number for each run is exact.
func TestWhatIsDerived(t *testing.T) {
	lost := func(op rotatortest.Op) rotatortest.Hook {
		var once atomic.Bool
		return func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == op && once.CompareAndSwap(false, true) {
				return rotatortest.Fault{After: rotatortest.ErrLost}
			}
			return rotatortest.Fault{}
		}
	}
	unknown := fmt.Errorf("unknown: %w: %w", rotator.ErrUnknownUser, rotator.ErrRefused)
	tests := []struct {
		name    string
		prepare func(*testing.T, *fleet)
		sel     sweep.Selection
		want    int
	}{
		{"nobody is due", func(_ *testing.T, f *fleet) { f.add(serverA, 390, 391, 392) }, sweep.Selection{}, 0},
		{"one of three is due", func(_ *testing.T, f *fleet) { f.add(serverA, 1, 391, 392) }, sweep.Selection{}, 1},
		{"everybody is rotated", func(_ *testing.T, f *fleet) { f.add(serverA, 1, 391, 392) }, sweep.Selection{All: true}, 3},
		{"half-finished", func(t *testing.T, f *fleet) {
			f.add(serverA, 1, 391)
			f.leave(t, 1, "a dead process", f.began)
		}, sweep.Selection{}, 1},
		{"half-finished, and then rotated", func(t *testing.T, f *fleet) {
			f.add(serverA, 1)
			f.leave(t, 1, "a dead process", f.began)
		}, sweep.Selection{All: true, RotatedBefore: noon}, 2},
		{"the answer to a push is lost", func(_ *testing.T, f *fleet) {
			f.add(serverA, 1)
			f.fault = lost(rotatortest.OpSetPassword)
		}, sweep.Selection{}, 1},
		{"the answer to a write is lost", func(_ *testing.T, f *fleet) {
			f.add(serverA, 1)
			f.fault = lost(rotatortest.OpWrite)
		}, sweep.Selection{}, 1},
		{"the user is unknown", func(_ *testing.T, f *fleet) {
			f.add(serverA, 1)
			f.fault = failing(unknown, 1)
		}, sweep.Selection{}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				test.prepare(t, f)

				f.run(t, test.sel)

				if got := f.store.Derivations(); got != test.want {
					t.Errorf("%d key derivations, want %d", got, test.want)
				}
			})
		})
	}
}
