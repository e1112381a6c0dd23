package page

import (
	"fmt"
	"math"
	"time"

	"mailu-rotator/rotator"
)

const (
	horizon    = 180 // days, including today
	levels     = 4   // shades of a day that has due passwords
	cellHeight = 20  // pixels
	cellTop    = 18  // pixels, for the names of the months
)

// calendar shows when passwords fall due. Each tenant is in it once; ignored entries
// are left out.
type calendar struct {
	Days    []dueDay // from today on, one after the other
	Weeks   int      // columns
	Busiest dueDay
	Soon    int // in the next 7 days
	Month   int // in the next 30
	Total   int // in all days shown
	Already int // due or overdue
	Later   int // after the last day shown
	Never   int // manual
	Halted  int // invalid: not rotated
	Undated int // of unknown age: due immediately
}

// dueDay is one day, in UTC.
type dueDay struct {
	Date  time.Time
	Count int
	Level int // 0: nothing, to levels
	Week  int // column, from 0
	Row   int // Monday is 0
}

func newCalendar(f fleet) calendar {
	today := f.Now.UTC().Truncate(day)
	c := calendar{Days: make([]dueDay, horizon)}
	monday := today.AddDate(0, 0, -weekday(today))
	for i := range c.Days {
		date := today.AddDate(0, 0, i)
		c.Days[i] = dueDay{Date: date, Week: int(date.Sub(monday) / (7 * day)), Row: weekday(date)}
	}
	c.Weeks = c.Days[horizon-1].Week + 1
	for _, r := range f.rows {
		c.add(r, f.Now, today)
	}
	c.sum()
	return c
}

func (c *calendar) add(r *row, now, today time.Time) {
	switch {
	case r.standing == rotator.StandingIgnored:
	case r.standing == rotator.StandingInvalid:
		c.Halted++
	case r.Policy.Manual():
		c.Never++
	case r.Due.IsZero():
		c.Undated++
	case !r.Due.After(now):
		c.Already++
	case int(r.Due.Sub(today)/day) >= horizon:
		c.Later++
	default:
		c.Days[r.Due.Sub(today)/day].Count++
	}
}

func (c *calendar) sum() {
	for i, d := range c.Days {
		c.Total += d.Count
		if i < 7 {
			c.Soon += d.Count
		}
		if i < 30 {
			c.Month += d.Count
		}
		if d.Count > c.Busiest.Count {
			c.Busiest = d
		}
	}
	for i, d := range c.Days {
		c.Days[i].Level = shade(d.Count, c.Busiest.Count)
	}
}

// shade scales by the square root, so that days with few tenants stay distinguishable
// beside a peak.
func shade(n, highest int) int {
	if n == 0 {
		return 0
	}
	return int(math.Ceil(levels * math.Sqrt(float64(n)/float64(highest))))
}

// weekday counts from Monday, as ISO 8601 does.
func weekday(t time.Time) int { return (int(t.Weekday()) + 6) % 7 }

// Title is the day's tooltip.
func (d dueDay) Title() string {
	return fmt.Sprintf("%s: %s due", d.Date.Format("Mon 2006-01-02"), number(d.Count))
}

// Y is the upper edge of the cell in pixels; X and Width are in percent of all weeks.
func (d dueDay) Y() int { return cellTop + d.Row*cellHeight }

// NumberY is the base line of the cell's number.
func (d dueDay) NumberY() int { return d.Y() + 13 }

// X is the left edge of the cell.
func (c calendar) X(d dueDay) string { return percent(float64(d.Week), c.Weeks) }

// Middle is the centre of the cell's number.
func (c calendar) Middle(d dueDay) string { return percent(float64(d.Week)+0.48, c.Weeks) }

// Width is the width of a cell.
func (c calendar) Width() string { return percent(0.94, c.Weeks) }

// label is a text at a position.
type label struct{ X, Text string }

// Months are the month names over the columns in which they begin.
func (c calendar) Months() []label {
	var all []label
	for i, d := range c.Days {
		if d.Date.Day() == 1 || i == 0 && d.Date.Day() < 22 { // otherwise the next name would be too near
			all = append(all, label{X: c.X(d), Text: d.Date.Format("Jan")})
		}
	}
	return all
}

// Legend lists the range of counts of each shade.
func (c calendar) Legend() []legend {
	var all []legend
	for n := 1; n <= c.Busiest.Count; n++ {
		level := shade(n, c.Busiest.Count)
		if len(all) == 0 || all[len(all)-1].Level != level {
			all = append(all, legend{Level: level, From: n})
		}
		all[len(all)-1].To = n
	}
	return all
}

type legend struct{ Level, From, To int }

// Range describes the counts in words.
func (l legend) Range() string {
	if l.From == l.To {
		return number(l.From)
	}
	return number(l.From) + "–" + number(l.To)
}

// week is a row of the calendar as a table.
type week struct {
	Monday time.Time
	Days   [7]string // empty: not among the days shown
	Total  int
}

// Table returns the calendar as text.
func (c calendar) Table() []week {
	all := make([]week, c.Weeks)
	for _, d := range c.Days {
		w := &all[d.Week]
		w.Monday = d.Date.AddDate(0, 0, -d.Row)
		w.Days[d.Row] = number(d.Count)
		w.Total += d.Count
	}
	return all
}
