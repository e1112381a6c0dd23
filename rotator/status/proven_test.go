package status_test

import (
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

func TestWhenATenantWasLastProven(t *testing.T) {
	early := time.Date(2026, 11, 1, 5, 0, 0, 0, time.UTC)
	late := early.Add(time.Hour)
	proof := rotator.Status{Proof: true}
	tests := []struct {
		name  string
		entry status.Entry
		want  time.Time
	}{
		{"never", status.Entry{}, time.Time{}},
		{"verified", status.Entry{State: rotator.StateOK, StateSince: early}, early},
		{"verified, but not logged in", status.Entry{State: rotator.StateLoginRefused, StateSince: early}, early},
		{"rotated", status.Entry{Outcome: rotator.Rotated, At: early, Status: proof}, early},
		{"rotated without a verification", status.Entry{Outcome: rotator.Rotated, At: early}, time.Time{}},
		{"verified, then rotated without", status.Entry{State: rotator.StateOK, StateSince: early, Outcome: rotator.Rotated, At: late}, early},
		{"finished", status.Entry{Outcome: rotator.Finished, At: early, Status: proof}, early},
		{"verified, then rotated", status.Entry{State: rotator.StateDrift, StateSince: early, Outcome: rotator.Rotated, At: late, Status: proof}, late},
		{"rotated, then verified", status.Entry{State: rotator.StateOK, StateSince: late, Outcome: rotator.Rotated, At: early, Status: proof}, late},
		{"rotated, then found otherwise", status.Entry{State: rotator.StateDrift, StateSince: late, Outcome: rotator.Rotated, At: early, Status: proof}, time.Time{}},
		{"verified, then failed to rotate", status.Entry{State: rotator.StateOK, StateSince: early, Outcome: rotator.Failed, At: late}, early},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.entry.Proven(); !got.Equal(test.want) {
				t.Errorf("proven at %s, want %s", got, test.want)
			}
		})
	}
}
