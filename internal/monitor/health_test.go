package monitor

import (
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
)

func TestReadyOnceTheRecordsWereReadAndWhileRunsCanTakePlace(t *testing.T) {
	h := NewHealth(rotatortest.NewClock(noon))
	for _, step := range []struct {
		event rotator.EventName
		want  string
	}{
		{rotator.SweepStarted, "the records have not been read yet"},
		{rotator.SweepRefused, "the last sweep could not take place: the log says why"},
		{rotator.SweepStarted, "the last sweep could not take place: the log says why"},
		{rotator.SweepPlanned, "the last sweep could not take place: the log says why"},
		{rotator.SweepFinished, ""},
		{rotator.TickScheduled, ""},
		{rotator.VerificationStarted, ""},
		{rotator.VerificationRefused, "the last verification could not take place: the log says why"},
		{rotator.SweepStarted, "the last verification could not take place: the log says why"},
		{rotator.SweepFinished, ""},
	} {
		h.Observe(rotator.Event{Name: step.event, Err: errFault})

		if got := h.Ready(); got != step.want {
			t.Errorf("after %q: %q, want %q", step.event, got, step.want)
		}
	}
}

func TestReadyDuringTheFirstSweepOnceItHasItsPlan(t *testing.T) {
	h := NewHealth(rotatortest.NewClock(noon))

	h.Observe(rotator.Event{Name: rotator.SweepStarted})
	h.Observe(rotator.Event{Name: rotator.SweepPlanned})

	if missing := h.Ready(); missing != "" {
		t.Error(missing)
	}
}

func TestLiveness(t *testing.T) {
	started := rotator.Event{Name: rotator.SweepStarted}
	finished := rotator.Event{Name: rotator.SweepFinished}
	refused := rotator.Event{Name: rotator.SweepRefused, Err: errFault}
	in := func(d time.Duration) rotator.Event { return rotator.Event{Name: rotator.TickScheduled, Wait: d} }
	verifyIn := func(d time.Duration) rotator.Event {
		return rotator.Event{Name: rotator.VerificationScheduled, Wait: d}
	}
	renewed := rotator.Event{Name: rotator.SettingsReplaced}

	tests := []struct {
		name   string
		events []rotator.Event
		silent time.Duration
		live   bool
	}{
		{"waits half a year for its schedule", []rotator.Event{started, finished, in(180 * day)}, 179 * day, true},
		{"begins a little late, as after a suspend", []rotator.Event{in(day)}, day + time.Hour, true},
		{"does not begin at all", []rotator.Event{in(day)}, day + 3*time.Hour, false},
		{"is at a long run", []rotator.Event{in(day), started}, time.Hour, true},
		{"hangs in a run", []rotator.Event{in(day), started}, 3 * time.Hour, false},
		{"has no schedule", nil, 3 * time.Hour, true},
		{"Vault refuses, and it is tried again", []rotator.Event{in(time.Hour), started, refused}, 15 * time.Minute, true},
		{"misses a verification", []rotator.Event{in(30 * day), verifyIn(day)}, 2 * day, false},
		{"has had its verification turned off", []rotator.Event{in(30 * day), verifyIn(day), renewed, in(30 * day)}, 2 * day, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			clock := rotatortest.NewClock(noon)
			h := NewHealth(clock)
			for _, e := range test.events {
				h.Observe(e)
			}
			clock.Advance(test.silent)

			if h.Live() != test.live {
				t.Errorf("live: %t", h.Live())
			}
		})
	}
}

func TestADeadVaultNeverLooksLikeADeadDaemon(t *testing.T) {
	clock := rotatortest.NewClock(noon)
	h := NewHealth(clock)
	h.Observe(rotator.Event{Name: rotator.TickScheduled, Wait: time.Minute})

	for range 100 { // one day of it, long after the schedule
		clock.Advance(15 * time.Minute)
		h.Observe(rotator.Event{Name: rotator.SweepRefused, Err: errFault})
		if !h.Live() {
			t.Fatalf("dead at %s", clock.Now())
		}
	}
}
