package status_test

import (
	"errors"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/status"
)

func TestVaultIsWaitedForUntilTheNextEvent(t *testing.T) {
	began := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	clock := rotatortest.NewClock(began)
	c := status.NewCache(clock)

	c.Waiting(errors.New("connection refused"))
	clock.Advance(time.Minute)
	c.Waiting(errors.New("sealed"))

	if got, want := c.Outline().Waiting, (status.Trouble{Since: began, Reason: "sealed"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	c.Observe(rotator.Event{Name: rotator.SweepPlanned})
	if got := c.Outline().Waiting; got != (status.Trouble{}) {
		t.Errorf("after an event: %+v", got)
	}
}

func TestARefusedReloadIsKnownUntilOneIsAccepted(t *testing.T) {
	began := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	c := status.NewCache(rotatortest.NewClock(began))

	c.Reloaded(errors.New("line 3: unknown key"))
	c.Observe(rotator.Event{Name: rotator.SweepStarted})

	if got, want := c.Outline().Refused, (status.Trouble{Since: began, Reason: "line 3: unknown key"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	c.Reloaded(nil)
	if got := c.Outline(); got.Refused != (status.Trouble{}) || !got.Began.Equal(began) {
		t.Errorf("once accepted: %+v", got)
	}
}
