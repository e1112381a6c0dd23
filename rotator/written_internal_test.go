package rotator

import (
	"testing"
	"time"
)

func TestTimesAreStoredInUTC(t *testing.T) {
	elsewhere := time.Date(2026, 11, 23, 14, 0, 0, 5_999_999, time.FixedZone("elsewhere", 2*60*60))

	if got := FormatTime(elsewhere); got != "2026-11-23T12:00:00.005Z" {
		t.Errorf("got %s", got)
	}
}

// The lifetime of a version without a creation time is unknown: it is reported as
// vanishing, and an operator checks it.
func TestAVersionOfUnknownLifeIsTakenToVanish(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	c, _ := parseFields("", Document{Version: 1, Expires: now.Add(time.Hour)}, Policy{days: 30, set: true})

	if got := c.writtenAs(2, now); got.Expires.After(now) || !got.vanishes(now) {
		t.Errorf("expires at %s", got.Expires)
	}
}
