package page

import (
	"strconv"
	"time"

	"mailu-rotator/internal/text"
	"mailu-rotator/rotator"
)

const day = 24 * time.Hour

// Limits of text from records and servers, in characters. They bound the size of the
// page.
const (
	maxName   = 120
	maxReason = 400
)

// visible cuts text that others wrote at most characters and spells out what has no
// shape.
func visible(s string, most int) string { return text.Visible(text.Shorten(s, most)) }

// number formats n with thousands separators.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count formats a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(n) + " " + noun + "s"
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
