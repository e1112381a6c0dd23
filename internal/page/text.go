package page

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"mailu-rotator/rotator"
)

const day = 24 * time.Hour

// Limits of text from records and servers, in characters. They bound the size of the
// page.
const (
	maxName   = 120
	maxReason = 400
)

// visible escapes text that others wrote: it spells out characters that have no shape
// or that change the text direction, and cuts the text at most characters.
func visible(s string, most int) string {
	s = shorten(s, most)
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case hidden(r):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			b.WriteRune(r)
		}
		s = s[size:]
	}
	return b.String()
}

// hidden reports whether r is invisible or misleading. Letters such as U+3164, the
// Hangul filler, count as printable and show nothing.
func hidden(r rune) bool {
	if r < utf8.RuneSelf {
		return !strconv.IsPrint(r)
	}
	return r == utf8.RuneError || r == '\u2800' || !unicode.IsPrint(r) ||
		unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// shorten cuts s to at most that many characters, and marks the cut.
func shorten(s string, most int) string {
	if kept := cut(s, most); kept != s {
		return kept + "…"
	}
	return s
}

// cut cuts s to at most that many characters.
func cut(s string, most int) string {
	n := 0
	for i := range s {
		if n == most {
			return s[:i]
		}
		n++
	}
	return s
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
