package main

import "mailu-rotator/rotator"

// scenario is what happens to a fleet that starts on day 0.
type scenario struct {
	name   string
	days   int
	atOnce int  // tenants imported on day 0
	aged   int  // earlier tenants, evenly spread over all ages
	daily  int  // tenants added on each day
	mixed  bool // every third has a policy of 30 days in its record
	limit  int  // rotations that fit into a night's window; 0: all

	emergency int    // day of an emergency run at noon; 0: none
	down      [2]int // first day without the host, and first day with it again
	on        int    // first day with the spread
}

const imported = "imported on one day"

func scenarios(tenants, years int) []scenario {
	days := 365 * years
	return []scenario{
		{name: imported, days: days, atOnce: tenants},
		{name: "a fifth imported, the rest over the years", days: days, atOnce: tenants / 5, daily: tenants * 4 / 5 / days},
		{name: "imported, emergency run on day 300", days: days, atOnce: tenants, emergency: 300},
		{name: "imported, host down on days 176 to 180", days: days, atOnce: tenants, down: [2]int{176, 181}},
		{name: "imported, every third under 30_days", days: days, atOnce: tenants, mixed: true},
		{name: "imported, 6,000 a night at most", days: days, atOnce: tenants, limit: 6000},
		{name: "of all ages, spread from day 100 on", days: days, aged: tenants, on: 100},
	}
}

// live simulates the scenario under the spread.
func (s scenario) live(spread rotator.Spread) life { return s.let(newFleet(s), spread) }

func (s scenario) let(f *fleet, spread rotator.Spread) life {
	l := life{spread: spread, nights: make([]int, s.days)}
	for day := range s.days {
		if day == s.on {
			f.spreadBy(spread)
		}
		if day < s.down[0] || day >= s.down[1] {
			l.overdue = max(l.overdue, f.overdue(day))
			l.nights[day] = f.sweep(day)
		}
		if day == 0 {
			f.add(day, s.atOnce)
		}
		f.add(day, s.daily)
		if day > 0 && day == s.emergency {
			f.rotateAll(day)
		}
	}
	l.oldest = f.oldest
	return l
}
