package sweep_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// askew is a clock that is wrong.
type askew struct {
	rotator.SystemClock
	by time.Duration
}

func (c askew) Now() time.Time { return c.SystemClock.Now().Add(c.by) }

func TestTheClockGuard(t *testing.T) {
	tests := []struct {
		by      time.Duration
		refused string
	}{
		{0, ""},
		{5 * time.Minute, ""},
		{-5 * time.Minute, ""},
		{5*time.Minute + time.Millisecond, "5m0s ahead of Vault's"},
		{-6 * time.Minute, "6m0s behind Vault's"},
		{24 * time.Hour, "24h0m0s ahead of Vault's"},
	}
	for _, test := range tests {
		t.Run(test.by.String(), func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1)
				f.sweep.Clock = askew{by: test.by}

				_, err := f.sweep.Run(t.Context(), sweep.Selection{PendingOnly: true}, 0)

				var skew *rotator.ClockSkewError
				switch {
				case test.refused == "" && err != nil:
					t.Errorf("refused: %v", err)
				case test.refused != "" && (!errors.As(err, &skew) || skew.Skew != test.by || !strings.Contains(err.Error(), test.refused) || len(f.calls) != 0):
					t.Errorf("got %v after %d calls", err, len(f.calls))
				}
			})
		})
	}
}

func TestTimestampsAreVaultsTimeWhereTheHostsClockIsOff(t *testing.T) {
	for by, want := range map[time.Duration]string{
		3 * time.Minute: "2000-01-01T00:00:00.000Z",
		time.Second:     "2000-01-01T00:00:01.000Z", // Vault's time has whole seconds: too small a difference
	} {
		inFleet(t, func(t *testing.T, f *fleet) {
			f.add(serverA, 1)
			f.sweep.Clock = askew{by: by}

			f.run(t, sweep.Selection{})

			if fields, _ := f.store.Get(string(tenant(1))); fields["last_rotated"] != want {
				t.Errorf("off by %s: last_rotated is %v, want %s", by, fields["last_rotated"], want)
			}
		})
	}
}

// If Vault's answer was delayed, half of the delay would be taken for an error of the
// host's clock, and claims of others for expired.
func TestATimeThatWasWaitedForIsNotCompared(t *testing.T) {
	tests := []struct {
		name  string
		waits []time.Duration // of the first answers; the others are immediate
		want  string          // last_rotated
	}{
		{"at once", nil, "2000-01-01T00:00:00.000Z"},
		{"a Vault that was down", []time.Duration{8 * time.Minute}, "2000-01-01T00:08:00.000Z"},
		{"and again", []time.Duration{time.Minute, 3 * time.Second}, "2000-01-01T00:01:03.000Z"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1)
				f.sweep.Time = &slowTime{waits: test.waits}

				f.run(t, sweep.Selection{})

				if fields, _ := f.store.Get(string(tenant(1))); fields["last_rotated"] != test.want {
					t.Errorf("last_rotated is %v, want %s: the host's clock is right", fields["last_rotated"], test.want)
				}
			})
		})
	}
}

func TestATimeThatAlwaysHasToBeWaitedForRefusesTheRun(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.sweep.Time = &slowTime{waits: slices.Repeat([]time.Duration{3 * time.Second}, 100)}

		_, err := f.sweep.Run(t.Context(), sweep.Selection{}, 0)

		if err == nil || !strings.Contains(err.Error(), "compare clocks") || len(f.calls) != 0 {
			t.Errorf("got %v after %d calls", err, len(f.calls))
		}
	})
}

// slowTime is correct, but answers late.
type slowTime struct{ waits []time.Duration }

func (s *slowTime) Time(context.Context) (time.Time, error) {
	if len(s.waits) > 0 {
		time.Sleep(s.waits[0])
		s.waits = s.waits[1:]
	}
	return time.Now(), nil
}

func TestATimeSourceThatFailsRefusesTheRun(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.sweep.Time = noTime{}

		_, err := f.sweep.Run(t.Context(), sweep.Selection{}, 0)

		if !errors.Is(err, rotatortest.ErrLost) || len(f.calls) != 0 {
			t.Errorf("got %v after %d calls", err, len(f.calls))
		}
	})
}

type noTime struct{}

func (noTime) Time(context.Context) (time.Time, error) { return time.Time{}, rotatortest.ErrLost }
