package status_test

import (
	"errors"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/status"
)

func TestTheLastLoginIsKeptUntilItsServerHasNone(t *testing.T) {
	const here, there = rotator.Origin("https://a.example"), rotator.Origin("https://b.example")
	clock := rotatortest.NewClock(time.Date(2026, 11, 1, 5, 0, 0, 0, time.UTC))
	c := status.NewCache(clock)
	c.ObserveWork(rotator.Event{Name: rotator.LoginWasAccepted, Origin: here, User: "admin@a.example"})
	c.Observe(rotator.Event{Name: rotator.LoginWasNotPossible, Origin: here, User: "admin@b.example", Err: errors.New("expired")})
	c.Observe(rotator.Event{Name: rotator.LoginWasRefused, Origin: there, Err: errors.New("535")})
	c.Observe(rotator.Event{Name: rotator.SweepPlanned})

	want := status.LoginEntry{Origin: here, State: rotator.LoginNotPossible, User: "admin@b.example", At: clock.Now(), Reason: "expired"}
	if got := c.Outline().Logins; len(got) != 2 || got[0] != want {
		t.Errorf("got %+v, want %+v first", got, want)
	}
	c.LoginsAt([]rotator.Origin{there})
	if got := c.Outline().Logins; len(got) != 1 || got[0].Origin != there {
		t.Errorf("after a reload without the first: %+v", got)
	}
}
