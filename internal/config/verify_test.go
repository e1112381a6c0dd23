package config

import (
	"testing"
	"time"
)

func TestVerificationIsDailyAndChangesNothingUnlessTold(t *testing.T) {
	c := loadGood(t, "minimal.yaml")
	saturday := time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC)

	next := c.Verify.Schedule.Next(saturday)

	if want := saturday.AddDate(0, 0, 1); !next.Equal(want) || !c.Verify.Schedule.Next(next).Equal(want.AddDate(0, 0, 1)) {
		t.Errorf("next is %s, want %s and then daily", next, want)
	}
	if c.Verify.Repair {
		t.Error("repairs without having been told to")
	}
}

func TestAnEmptyScheduleTurnsVerificationOff(t *testing.T) {
	c := loadGood(t, "verify-off.yaml")

	if !c.Verify.Schedule.Off() || !c.Verify.Schedule.Next(time.Now()).IsZero() {
		t.Errorf("next is %s", c.Verify.Schedule.Next(time.Now()))
	}
	if !c.Verify.Repair {
		t.Error("verify.repair did not arrive")
	}
}
