package page

import (
	"fmt"

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
	Highest int
	Manual  int // no policy to compare with
	Undated int // of unknown age
	Unread  int // the policy could not be read
	Total   int // tenants in the bars
}

type bar struct {
	Label  string
	Count  int
	Past   bool // at or beyond the policy's age
	X      string
	Width  string // percent, like X
	Y      int    // pixels, like Height
	Height int
}

// Middle is the centre of the bar's number, in percent.
func (b bar) Middle(i int) string { return percent(float64(i)+0.5, barsAtAll) }

// Number is the count as text.
func (b bar) Number() string { return number(b.Count) }

// NumberY is the base line of the number.
func (b bar) NumberY() int { return b.Y - 5 }

func newHistogram(f fleet) histogram {
	h := histogram{Bars: make([]bar, barsAtAll)}
	for _, r := range f.rows {
		age, known := r.Age(f.Now)
		switch {
		case r.standing == rotator.StandingIgnored:
		case r.Policy.Manual():
			h.Manual++
		case r.Policy.MaxAge() == 0:
			h.Unread++
		case !known:
			h.Undated++
		default:
			h.Bars[min(int(10*age/r.Policy.MaxAge()), tenths)].Count++
			h.Total++
		}
	}
	h.draw()
	return h
}

func (h *histogram) draw() {
	for _, b := range h.Bars {
		h.Highest = max(h.Highest, b.Count)
	}
	for i := range h.Bars {
		b := &h.Bars[i]
		b.Label = fmt.Sprintf("%d–%d %%", 10*i, 10*i+10)
		if i == tenths {
			b.Label = "150 % and more"
		}
		b.Past = i >= 10
		b.X, b.Width = percent(float64(i)+0.08, barsAtAll), percent(0.84, barsAtAll)
		if b.Count > 0 {
			b.Height = max(2, b.Count*barHeight/h.Highest)
		}
		b.Y = barTop + barHeight - b.Height
	}
}

// percent formats n of total for an SVG attribute.
func percent(n float64, total int) string { return fmt.Sprintf("%.3f%%", 100*n/float64(total)) }
