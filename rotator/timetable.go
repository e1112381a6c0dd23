package rotator

import (
	"time"

	"github.com/robfig/cron/v3"
)

// NextTick returns the first time after t at which the schedule fires, in t's location,
// or the zero time. All schedules use it.
//
// Clock changes neither skip nor repeat a tick, as with cron(8): a time in the hour
// that summer time skips fires once, immediately after it, and in the hour that occurs
// twice the first occurrence counts. A schedule for every hour of the day follows the
// displayed time, through both.
//
// @every fires at whole multiples of its duration, counted from a fixed moment, a
// Monday 00:00 UTC: counted from the start of the process, it would never fire in one
// that is restarted more often.
func NextTick(schedule cron.Schedule, t time.Time) time.Time {
	switch s := schedule.(type) {
	case cron.ConstantDelaySchedule:
		return t.Truncate(s.Delay).Add(s.Delay)
	case *cron.SpecSchedule:
		const everyHour = 1<<24 - 1 // one bit for each hour
		switch {
		case s.Location != time.Local: // it has its own zone
			return s.Next(t)
		case s.Hour&everyHour == everyHour:
			return nextShown(s, t)
		}
		return nextReached(s, t)
	}
	return schedule.Next(t)
}

// nextShown is the first time after t at which the clock shows a time of the schedule.
func nextShown(s *cron.SpecSchedule, t time.Time) time.Time {
	for wall, from := wallClock(t), t; ; {
		if wall = s.Next(wall); wall.IsZero() {
			return wall
		}
		tick := wall.Add(-offset(from)).In(t.Location())
		_, jump := from.ZoneBounds()
		if jump.IsZero() || tick.Before(jump) {
			return tick
		}
		wall, from = wallClock(jump).Add(-1), jump // the moment of the change may be a tick
	}
}

// nextReached is the first time after t at which the clock reaches, or skips, a time of
// the schedule that it has not reached before.
func nextReached(s *cron.SpecSchedule, t time.Time) time.Time {
	for wall := wallClock(t); ; {
		if wall = s.Next(wall); wall.IsZero() {
			return wall
		}
		if tick := reached(wall, t.Location()); tick.After(t) {
			return tick
		}
	}
}

// reached is the first moment at which the location's clock shows wall or a later time.
func reached(wall time.Time, location *time.Location) time.Time {
	const beyondAnyOffset = 48 * time.Hour
	for from := wall.Add(-beyondAnyOffset).In(location); ; {
		moment := wall.Add(-offset(from)).In(location)
		_, jump := from.ZoneBounds()
		switch {
		case moment.Before(from):
			return from
		case jump.IsZero() || moment.Before(jump):
			return moment
		}
		from = jump
	}
}

// wallClock is the displayed time of t as one in UTC, where clocks never change.
func wallClock(t time.Time) time.Time { return t.UTC().Add(offset(t)) }

func offset(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

// LastTick returns the last time up to now at which the schedule fired, or the zero
// time if that is back or longer ago.
func LastTick(schedule cron.Schedule, now time.Time, back time.Duration) (last time.Time) {
	for span := min(time.Minute, back); ; {
		for tick := NextTick(schedule, now.Add(-span)); !tick.IsZero() && !tick.After(now); tick = NextTick(schedule, tick) {
			last = tick
		}
		switch {
		case !last.IsZero() || span >= back:
			return last
		case span > back/2:
			span = back
		default:
			span *= 2 // a schedule cannot be searched backwards, and each of its ticks is a step
		}
	}
}

// Timetable says when sweeps start.
type Timetable struct {
	Schedule cron.Schedule
	Timezone *time.Location // time zone of the schedule
	Jitter   time.Duration  // each starts up to this much later
	Window   time.Duration  // how long after that a rotation may start
}

// Deadline is when the first sweep after a time has started everything that it may
// start. A tenant whose policy ended at that time and that is not rotated by the
// deadline is overdue. Without sweeps it is the time itself.
func (t Timetable) Deadline(after time.Time) time.Time {
	tick := NextTick(t.Schedule, after.In(t.Timezone))
	if tick.IsZero() {
		return after
	}
	return tick.Add(t.Jitter + t.Window)
}
