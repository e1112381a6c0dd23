package rotator_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
)

type partKey struct{}

// recorder records the parts of a run, each with its parent.
type recorder struct {
	mu    sync.Mutex
	begun []string
	ended []string // the results of tenants
	open  int
}

func (r *recorder) trace(ctx context.Context, part rotator.Part) (context.Context, func(error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	within, _ := ctx.Value(partKey{}).(rotator.PartName)
	r.begun = append(r.begun, string(within)+">"+string(part.Name))
	r.open++
	return context.WithValue(ctx, partKey{}, part.Name), func(error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.open--
		if part.Outcome != nil {
			r.ended = append(r.ended, string(*part.Outcome))
		}
		if part.State != nil {
			r.ended = append(r.ended, string(*part.State))
		}
	}
}

func TestTraceNestsStepsInTenantsInRuns(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		r := &recorder{}
		f.sweep.Trace = r.trace

		_, err := f.sweep.Run(t.Context(), rotator.Selection{}, 0)

		want := []string{">sweep", "sweep>tenant", "tenant>look", "tenant>prepare", "tenant>push", "tenant>verify", "tenant>commit"}
		if err != nil || !slices.Equal(r.begun, want) || r.open != 0 {
			t.Errorf("%d parts never ended, %v; got %q", r.open, err, r.begun)
		}
	})
}

func TestTraceTellsWhatTenantsCameTo(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		r := &recorder{}
		f.sweep.Trace = r.trace

		_, errFirst := f.sweep.Run(t.Context(), rotator.Selection{}, 0)
		time.Sleep(time.Second)
		_, errSecond := f.sweep.Run(t.Context(), rotator.Selection{All: true}, 0)
		_, errVerify := f.sweep.Verify(t.Context(), rotator.Selection{}, false)
		_, errRollback := f.sweep.Rollback(t.Context(), tenant(1), 0)

		if want := []string{"rotated", "rotated", "ok", "restored"}; !slices.Equal(r.ended, want) {
			t.Errorf("got %q, want %q; %v", r.ended, want, errors.Join(errFirst, errSecond, errVerify, errRollback))
		}
	})
}

func TestTraceEndsPartsThatFail(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpSetPassword {
				return rotatortest.Fault{Before: rotator.ErrRefused}
			}
			return rotatortest.Fault{}
		}
		r := &recorder{}
		f.sweep.Trace = r.trace

		_, err := f.sweep.Run(t.Context(), rotator.Selection{}, 0)

		if err != nil || !slices.Contains(r.begun, "tenant>abandon") || r.open != 0 {
			t.Errorf("%d parts never ended, %v; got %q", r.open, err, r.begun)
		}
	})
}
