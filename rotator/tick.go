package rotator

import (
	"time"

	"github.com/robfig/cron/v3"
)

// NextTick returns the first time after t at which the schedule comes, read in
// t's location, and the zero time if there is none. Every schedule is read by it.
//
// Clocks that jump neither lose a tick nor repeat one, as with cron(8): what falls
// into the hour that summer time skips comes once, in the first moment after it,
// and of the hour that comes twice the first one counts. A schedule for every hour
// of the day goes by what the clock shows, through both.
//
// @every comes at whole multiples of its duration, counted from a fixed moment, a
// Monday 00:00 UTC: counted from the start of the process, it would never come to
// one that is restarted more often.
func NextTick(schedule cron.Schedule, t time.Time) time.Time {
	switch s := schedule.(type) {
	case cron.ConstantDelaySchedule:
		return t.Truncate(s.Delay).Add(s.Delay)
	case *cron.SpecSchedule:
		switch {
		case s.Location != time.Local: // it has a zone of its own
			return s.Next(t)
		case everyHour(s):
			return nextShown(s, t)
		}
		return nextReached(s, t)
	}
	return schedule.Next(t)
}

func everyHour(s *cron.SpecSchedule) bool {
	const all = 1<<24 - 1 // one bit for each hour
	return s.Hour&all == all
}

// nextShown is the first time after t at which the clock shows a time of the
// schedule.
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
		wall, from = wallClock(jump).Add(-1), jump // the jump's own moment may be a tick
	}
}

// nextReached is the first time after t at which the clock reaches, or jumps over,
// a time of the schedule that it has not reached before.
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

// reached is the first moment at which the location's clock shows this time or a
// later one.
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

// wallClock is what the clock of t's location shows, as a time in UTC: there no
// clock jumps.
func wallClock(t time.Time) time.Time { return t.UTC().Add(offset(t)) }

func offset(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

// lastTick returns the last time up to now at which the schedule came, and the
// zero time if that is back or longer ago.
func lastTick(schedule cron.Schedule, now time.Time, back time.Duration) (last time.Time) {
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
			span *= 2 // a schedule has no way back, and each of its ticks is a step
		}
	}
}
