package page

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"mailu-rotator/internal/text"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

const day = 24 * time.Hour

// name and reason make text from records and servers safe to show. Their limits, in
// characters, bound the size of the page.
func name[T ~string](s T) string { return text.Visible(text.Shorten(string(s), 120)) }

func reason(s string) string { return text.Visible(shorten(s, 400)) }

// shorten cuts between words, unless the last one is longer than people's words are.
func shorten(s string, most int) string {
	kept := text.Cut(s, most)
	if kept == s {
		return s
	}
	if end := strings.LastIndexByte(kept, ' '); end >= 0 && len(kept)-end < 120 {
		kept = kept[:end]
	}
	return kept + " …"
}

// number formats n with thousands separators.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count formats a number with its noun.
func count(n int, noun string) string { return number(n) + " " + plural(n, noun, noun+"s") }

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// words formats a duration in the largest unit that is still meaningful.
func words(d time.Duration) string {
	d = d.Abs()
	switch {
	case d >= 2*day:
		return count(int(d/day), "day")
	case d >= 2*time.Hour:
		return count(int(d/time.Hour), "hour")
	case d >= time.Minute:
		return count(int(d/time.Minute), "minute")
	}
	return count(int(d/time.Second), "second")
}

// moment is a time and the current time.
type moment struct {
	At  time.Time
	Now time.Time
}

// Known is false for a time that has not happened.
func (m moment) Known() bool { return !m.At.IsZero() }

// Machine is the value for the attribute datetime.
func (m moment) Machine() string { return m.At.UTC().Format(time.RFC3339) }

// Absolute is the time for people; the page states that it is UTC.
func (m moment) Absolute() string { return m.At.UTC().Format("2006-01-02 15:04") }

// Relative is the distance from now, in words.
func (m moment) Relative() string {
	d := m.At.Sub(m.Now)
	switch {
	case d.Abs() < time.Second:
		return "now"
	case d > 0:
		return "in " + words(d)
	}
	return words(d) + " ago"
}

// policyText describes a policy in words; empty if it could not be read.
func policyText(p rotator.Policy) string {
	switch {
	case p.Manual():
		return "manual"
	case p.MaxAge() > 0:
		return count(int(p.MaxAge()/day), "day")
	}
	return ""
}

// milliseconds is empty for an unknown duration.
func milliseconds(d time.Duration, known bool) string {
	switch {
	case !known:
		return ""
	case d < 10*time.Second:
		return number(int(d.Round(time.Millisecond)/time.Millisecond)) + " ms"
	}
	return d.Round(time.Second).String()
}

// took formats the duration of a run, rounded for people.
func took(r status.RunEntry) string {
	d := r.Finished.Sub(r.Started)
	switch {
	case d < time.Second:
		return "< 1 s"
	case d < time.Minute:
		return number(int(d/time.Second)) + " s"
	case d < time.Hour:
		return number(int(d/time.Minute)) + " min " + number(int(d%time.Minute/time.Second)) + " s"
	}
	return number(int(d/time.Hour)) + " h " + number(int(d%time.Hour/time.Minute)) + " min"
}

// percent formats n of total for an SVG attribute.
func percent(n float64, total int) string { return fmt.Sprintf("%.3f%%", 100*n/float64(total)) }

// share is the done part of a run; it may exceed the plan.
func share(r status.RunEntry) string {
	if r.Planned == 0 {
		return "0%"
	}
	return percent(float64(min(r.Done, r.Planned)), r.Planned)
}
