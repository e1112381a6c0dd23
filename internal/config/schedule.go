package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"mailu-rotator/rotator"
)

// Schedule is a parsed cron schedule and implements cron.Schedule. Next interprets it
// in the location of the time that it is given. The zero Schedule never fires;
// [Schedule.Off] reports it.
type Schedule struct {
	spec string
	cron cron.Schedule
}

// leastEvery is the minimum of @every. Each sweep reads the whole fleet.
const leastEvery = time.Second

// ParseSchedule reads five cron fields (minute, hour, day of month, month, day of week,
// where Sunday is 0 or 7) or a descriptor: @hourly, @daily, @weekly, @monthly, @yearly,
// or @every with a duration. An empty spec gives the zero Schedule.
func ParseSchedule(spec string) (Schedule, error) {
	spec = strings.TrimSpace(spec)
	switch {
	case spec == "":
		return Schedule{}, nil
	case strings.HasPrefix(spec, "TZ="), strings.HasPrefix(spec, "CRON_TZ="):
		// The configuration already has a time zone; the library also panics on a zone
		// without fields after it.
		return Schedule{}, errors.New("a time zone does not belong into the schedule: use rotation.timezone")
	case spec == "@reboot":
		return Schedule{}, errors.New("@reboot names no time: a start finishes what is half-finished, and sweeps if the window of the last tick is open")
	}
	if every, found := strings.CutPrefix(spec, "@every "); found {
		interval, err := time.ParseDuration(every)
		switch {
		case err != nil: // the library reports it
		case interval < leastEvery:
			return Schedule{}, fmt.Errorf("@every %s is too short: give %s or more", every, leastEvery)
		case interval%time.Second != 0: // the library would round it
			return Schedule{}, fmt.Errorf("@every %s: give whole seconds", every)
		}
	}
	parsed, err := cron.ParseStandard(foldSunday(spec))
	if err != nil {
		return Schedule{}, fmt.Errorf("not a cron schedule (five fields, such as \"0 3 * * *\"): %w", err)
	}
	schedule := Schedule{spec: spec, cron: parsed}
	if schedule.Next(time.Now().UTC()).IsZero() {
		return Schedule{}, fmt.Errorf("the schedule %q never comes: no such date", spec)
	}
	return schedule, nil
}

// foldSunday replaces each 7 in the day-of-week field with 0, and rewrites ranges that
// end on a Sunday, as crontab(5) allows; the library supports neither. Other text is
// left for the library to accept or refuse.
func foldSunday(spec string) string {
	fields := strings.Fields(spec)
	if len(fields) != 5 {
		return spec
	}
	parts := strings.Split(fields[4], ",")
	for i, part := range parts {
		parts[i] = foldDays(part)
	}
	fields[4] = strings.Join(parts, ",")
	return strings.Join(fields, " ")
}

// foldDays changes only a 7, and a range that ends on the Sunday after Saturday.
func foldDays(part string) string {
	days, step, stepped := strings.Cut(part, "/")
	from, to, isRange := strings.Cut(days, "-")
	first, ok := dayOfWeek(from)
	if first == 7 && !isRange && !stepped {
		return "0"
	}
	if !stepped {
		step = "1"
	}
	by, err := strconv.Atoi(step)
	toSunday := to == "7" || strings.EqualFold(to, "sun") && first > 0
	if !ok || !toSunday || err != nil || by < 1 {
		return part
	}
	var all []string
	for day := first; day <= 7; day += by {
		all = append(all, strconv.Itoa(day%7))
	}
	return strings.Join(all, ",")
}

func dayOfWeek(text string) (int, bool) {
	if i := slices.Index([]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}, strings.ToLower(text)); i >= 0 {
		return i, true
	}
	day, err := strconv.Atoi(text)
	return day, err == nil && day >= 0 && day <= 7
}

// Off reports whether there is no schedule.
func (s Schedule) Off() bool { return s.cron == nil }

// Next returns the first time after t according to [rotator.NextTick], or the zero time
// if it never fires again.
func (s Schedule) Next(t time.Time) time.Time {
	if s.cron == nil {
		return time.Time{}
	}
	return rotator.NextTick(s.cron, t)
}

// String returns the text that [ParseSchedule] read.
func (s Schedule) String() string { return s.spec }
