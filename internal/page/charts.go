package page

import (
	"fmt"
	"math"
	"time"

	"mailu-rotator/rotator"
)

// Ages are shown as shares of the policy, so that tenants under different policies can
// be compared: in tenths up to 1.5, and one more bar for everything beyond.
const (
	tenths    = 15
	barsAtAll = tenths + 1
	barHeight = 120 // pixels, of the highest bar
	barTop    = 18  // pixels above it, for its number
)

// histogram counts each tenant once; ignored entries are left out.
type histogram struct {
	Bars    []bar
	Manual  int // no policy to compare with
	Undated int // of unknown age
	Unread  int // the policy could not be read
	Total   int // tenants in the bars
}

type bar struct {
	Label   string
	Count   int
	Past    bool   // at or beyond the policy's age
	X       string // percent, like Width and Middle, where the number is centred
	Width   string
	Middle  string
	Y       int // pixels, like Height and NumberY, the number's base line
	Height  int
	NumberY int
}

func newHistogram(f fleet) histogram {
	h := histogram{Bars: make([]bar, barsAtAll)}
	highest := 0
	for _, r := range f.rows {
		age, known := r.Age(f.Now)
		switch {
		case r.PolicyState == rotator.PolicyStateIgnored:
		case r.Policy.Manual():
			h.Manual++
		case r.Policy.MaxAge() == 0:
			h.Unread++
		case !known:
			h.Undated++
		default:
			b := &h.Bars[min(int(10*age/r.Policy.MaxAge()), tenths)]
			b.Count++
			highest = max(highest, b.Count)
			h.Total++
		}
	}
	for i := range h.Bars {
		h.Bars[i].draw(i, highest)
	}
	return h
}

func (b *bar) draw(i, highest int) {
	b.Label = fmt.Sprintf("%d–%d %%", 10*i, 10*i+10)
	if i == tenths {
		b.Label = "150 % and more"
	}
	b.Past = i >= 10
	b.X, b.Width, b.Middle = percent(float64(i)+0.08, barsAtAll), percent(0.84, barsAtAll), percent(float64(i)+0.5, barsAtAll)
	if b.Count > 0 {
		b.Height = max(2, b.Count*barHeight/highest)
	}
	b.Y = barTop + barHeight - b.Height
	b.NumberY = b.Y - 5
}

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
	Weeks   []week   // columns
	Width   string   // of a cell, in percent
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
	Date    time.Time
	Count   int
	Level   int    // 0: nothing, to levels
	X       string // percent, like Middle, where the number is centred
	Middle  string
	Y       int // pixels, like NumberY, the number's base line
	NumberY int
	Month   string // its name, over the column in which it begins
}

// week is a row of the calendar as a table.
type week struct {
	Monday time.Time
	Days   [7]*dueDay // nil: not among the days shown
	Total  int
}

func newCalendar(f fleet) calendar {
	today := f.Now.UTC().Truncate(day)
	c := calendar{Days: make([]dueDay, horizon)}
	for _, r := range f.rows {
		c.add(r, today)
	}
	for i := range c.Days {
		d := &c.Days[i]
		d.Date = today.AddDate(0, 0, i)
		c.Total += d.Count
		if i < 7 {
			c.Soon += d.Count
		}
		if i < 30 {
			c.Month += d.Count
		}
		if d.Count > c.Busiest.Count {
			c.Busiest = *d
		}
	}
	c.draw(weekday(today))
	return c
}

func (c *calendar) add(r *row, today time.Time) {
	switch {
	case r.PolicyState == rotator.PolicyStateIgnored:
	case r.PolicyState == rotator.PolicyStateInvalid:
		c.Halted++
	case r.Policy.Manual():
		c.Never++
	case r.Due.IsZero():
		c.Undated++
	case !r.Due.After(r.now):
		c.Already++
	case int(r.Due.Sub(today)/day) >= horizon:
		c.Later++
	default:
		c.Days[r.Due.Sub(today)/day].Count++
	}
}

// draw places the days; before is the number of days of the first week that are over.
func (c *calendar) draw(before int) {
	columns := (before+horizon-1)/7 + 1
	c.Weeks, c.Width = make([]week, columns), percent(0.94, columns)
	for i := range c.Days {
		d, column, row := &c.Days[i], (before+i)/7, (before+i)%7
		d.Level = shade(d.Count, c.Busiest.Count)
		d.X, d.Middle = percent(float64(column), columns), percent(float64(column)+0.48, columns)
		d.Y = cellTop + row*cellHeight
		d.NumberY = d.Y + 13
		if d.Date.Day() == 1 || i == 0 && d.Date.Day() < 22 { // otherwise the next name would be too near
			d.Month = d.Date.Format("Jan")
		}
		w := &c.Weeks[column]
		w.Monday = d.Date.AddDate(0, 0, -row)
		w.Days[row] = d
		w.Total += d.Count
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

type legend struct{ Level, From, To int }

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
