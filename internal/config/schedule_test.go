package config

import (
	"strings"
	"testing"
	"time"
)

func TestSundayIsAlsoSeven(t *testing.T) {
	saturday := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for spec, days := range map[string]string{
		"0 5 * * 7":        "Sun",
		"0 5 * * 0":        "Sun",
		"0 5 * * sun":      "Sun",
		"0 5 * * 1,7":      "Mon Sun",
		"0 5 * * 7,1":      "Mon Sun",
		"0 5 * * 5-7":      "Fri Sat Sun",
		"0 5 * * fri-sun":  "Fri Sat Sun",
		"0 5 * * SAT-SUN":  "Sat Sun",
		"0 5 * * mon-7":    "Mon Tue Wed Thu Fri Sat Sun",
		"0 5 * * 0-7":      "Mon Tue Wed Thu Fri Sat Sun",
		"0 5 * * 7-7":      "Sun",
		"0 5 * * 1-7/2":    "Mon Wed Fri Sun",
		"0 5 * * 5-7/2":    "Fri Sun",
		"0 5 * * 2-7/2":    "Tue Thu Sat",
		"0 5 * * sun-tue":  "Mon Tue Sun",
		"0 5 * * 1-5":      "Mon Tue Wed Thu Fri",
		"0  5 *  *   7":    "Sun",
		"0 5 * * 3,5-7,1":  "Mon Wed Fri Sat Sun",
		"0 5 29,30 11 7":   "Mon Sun", // either, as cron(8) has it
		"0 5 7 7 *":        "",
		"7 7 29-30 11 */7": "Sun Mon",
	} {
		schedule, err := ParseSchedule(spec)
		if err != nil {
			t.Errorf("%s: %v", spec, err)
			continue
		}
		if schedule.String() != spec {
			t.Errorf("%s is shown as %s", spec, schedule)
		}
		if got := daysOf(schedule, saturday); !sameWords(got, days) {
			t.Errorf("%s comes on %s, want %s", spec, got, days)
		}
	}
}

// daysOf returns the weekdays of the next runs.
func daysOf(s Schedule, from time.Time) string {
	var days []string
	for at := s.Next(from); at.Before(from.AddDate(0, 0, 7)); at = s.Next(at) {
		days = append(days, at.Format("Mon"))
	}
	return strings.Join(days, " ")
}

func sameWords(a, b string) bool {
	count := map[string]int{}
	for _, word := range strings.Fields(a) {
		count[word]++
	}
	for _, word := range strings.Fields(b) {
		count[word]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

func TestSchedulesThatAreRefused(t *testing.T) {
	for spec, want := range map[string]string{
		"@every -6h":         "@every -6h is too short: give 1s or more",
		"@every 0s":          "too short",
		"@every 0":           "too short",
		"@every 500ms":       "too short",
		"@every 999999999ns": "too short",
		"@every 1500ms":      "whole seconds",
		"@every":             "not a cron schedule",
		"@every soon":        "not a cron schedule",
		"@every 9999999999h": "not a cron schedule",
		"@reboot":            "@reboot names no time",
		"@nightly":           "not a cron schedule",
		"0 5 * * 8":          "above maximum",
		"0 5 * * 7-2":        "not a cron schedule",
		"0 5 * * 7/0":        "not a cron schedule",
		"0 5 * * 5-7/0":      "not a cron schedule",
		"0 5 * * 5-7/x":      "not a cron schedule",
		"0 5 * * -7":         "not a cron schedule",
		"0 5 * * L":          "not a cron schedule",
		"0 5 L * *":          "not a cron schedule",
		"0 0 5 * * *":        "expected exactly 5 fields, found 6",
		"TZ=UTC 0 5 * * *":   "use rotation.timezone",
		"CRON_TZ=UTC @daily": "use rotation.timezone",
		" TZ=UTC 0 5 * * *":  "use rotation.timezone",
		"30 2 30 2 *":        "never comes",
		"30 2 31 4,6,9,11 *": "never comes",
		"60 * * * *":         "above maximum",
	} {
		schedule, err := ParseSchedule(spec)
		if err == nil {
			t.Errorf("%q is accepted and comes at %s", spec, schedule.Next(time.Now()))
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", spec, err, want)
		}
	}
}

func TestSchedulesComeInTheSkippedHour(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	schedule, err := ParseSchedule("30 2 * * 7")
	if err != nil {
		t.Fatal(err)
	}

	next := schedule.Next(time.Date(2026, 3, 28, 12, 0, 0, 0, berlin))

	if want := time.Date(2026, 3, 29, 3, 0, 0, 0, berlin); !next.Equal(want) {
		t.Errorf("next is %s, want %s", next, want)
	}
}
