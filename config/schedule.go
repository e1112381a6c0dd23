package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule is a parsed cron schedule; it is a cron.Schedule. It is read in the
// location of the time that Next is given. The zero Schedule never comes, which
// [Schedule.Off] tells.
type Schedule struct {
	spec string
	cron cron.Schedule
}

// ParseSchedule reads five cron fields (minute, hour, day of month, month, day
// of week) or a descriptor: @hourly, @daily, @weekly, @monthly, @yearly, or
// @every with a duration. Nothing is the zero Schedule.
func ParseSchedule(spec string) (Schedule, error) {
	spec = strings.TrimSpace(spec)
	if spec == "" {
		return Schedule{}, nil
	}
	if strings.HasPrefix(spec, "TZ=") || strings.HasPrefix(spec, "CRON_TZ=") {
		// Two time zones for one schedule would be one too many; the library
		// also panics on a zone without fields after it.
		return Schedule{}, errors.New("a time zone does not belong into the schedule: use rotation.timezone")
	}
	parsed, err := cron.ParseStandard(spec)
	if err != nil {
		return Schedule{}, fmt.Errorf("not a cron schedule (five fields, such as \"0 3 * * *\"): %w", err)
	}
	schedule := Schedule{spec: spec, cron: parsed}
	if schedule.Next(time.Now().UTC()).IsZero() {
		return Schedule{}, fmt.Errorf("the schedule %q never comes: no such date", spec)
	}
	return schedule, nil
}

// Off reports whether there is no schedule.
func (s Schedule) Off() bool { return s.cron == nil }

// Next returns the first time after t, or the zero time if there is none.
func (s Schedule) Next(t time.Time) time.Time {
	if s.cron == nil {
		return time.Time{}
	}
	return s.cron.Next(t)
}

// String is the spelling that [ParseSchedule] read.
func (s Schedule) String() string { return s.spec }
